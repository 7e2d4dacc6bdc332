{
    // Runs silently after a restore: two copies of one memory must not draw the same numbers.
    // What another JDK does not have is passed over.

    var numbers = new java.util.SplittableRandom(SEED);
    var places = new java.util.ArrayList<String[]>(java.util.List.of(
        new String[] {"java.lang.Math$RandomNumberGeneratorHolder", "randomNumberGenerator"},
        new String[] {"java.lang.StrictMath$RandomNumberGeneratorHolder", "randomNumberGenerator"},
        new String[] {"java.util.Collections", "r"},
        new String[] {"java.util.Random", "seedUniquifier"},
        new String[] {"java.util.SplittableRandom", "defaultGen"},
        new String[] {"java.util.concurrent.ThreadLocalRandom", "seeder"}
    ));
    // Those of `RandomGenerator.of`, which moved.
    for (String home : new String[] {"jdk.random.", "jdk.internal.random."}) {
        for (String name : new String[] {
            "L128X1024MixRandom", "L128X128MixRandom", "L128X256MixRandom", "L32X64MixRandom",
            "L64X1024MixRandom", "L64X128MixRandom", "L64X128StarStarRandom", "L64X256MixRandom",
            "Xoroshiro128PlusPlus", "Xoshiro256PlusPlus",
        }) {
            places.add(new String[] {home + name, "defaultGen"});
        }
    }
    for (String[] place : places) {
        long number = numbers.nextLong();
        try {
            var field = Class.forName(place[0]).getDeclaredField(place[1]);
            field.setAccessible(true);
            var generator = field.get(null);
            if (generator instanceof java.util.Random) {
                ((java.util.Random) generator).setSeed(number);
            } else if (generator instanceof java.util.concurrent.atomic.AtomicLong) {
                ((java.util.concurrent.atomic.AtomicLong) generator).set(number);
            }
        } catch (Throwable error) {
        }
    }

    // Threads that drew from `ThreadLocalRandom` have states of their own.
    long base = numbers.nextLong();
    try {
        var state = Thread.class.getDeclaredField("threadLocalRandomSeed");
        state.setAccessible(true);
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            state.setLong(thread, new java.util.SplittableRandom(base + thread.getId()).nextLong());
        }
    } catch (Throwable error) {
    }

    // `SecureRandom`, and with it `UUID.randomUUID`, reads the system's generator ahead, at most this
    // many bytes.
    try {
        new java.security.SecureRandom().nextBytes(new byte[65536]);
    } catch (Throwable error) {
    }
}
