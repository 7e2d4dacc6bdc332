{
    // Runs silently after an interrupt, which is no more than `Thread.interrupt`: the kernel does not
    // wait any longer for code that ignores it, and the code would go on for ever.

    var own = Thread.currentThread();
    boolean isTold = false;
    for (long deadline = System.nanoTime() + 1_000_000_000L; ; Thread.sleep(10)) {
        Thread busy = null;
        for (var entry : Thread.getAllStackTraces().entrySet()) {
            // Threads that a program made are its own, and go on.
            if (entry.getKey() == own || !entry.getKey().getName().startsWith("jjava-exec")) continue;
            for (var frame : entry.getValue()) {
                if (frame.getClassName().startsWith("REPL.")) busy = entry.getKey();
            }
        }
        if (busy == null) break;
        if (System.nanoTime() < deadline) continue;
        // Later JDKs do not stop threads any more.
        try {
            if (isTold) throw new UnsupportedOperationException();
            Thread.class.getMethod("stop").invoke(busy);
        } catch (Throwable error) {
            Runtime.getRuntime().halt(130);
        }
        isTold = true;
        deadline = System.nanoTime() + 1_000_000_000L;
    }
}
