{
    // Runs silently in each new kernel of Java; a block, so that it leaves no names behind.

    // What is printed goes to pipes: the kernel publishes each `print` as a message of its own, and
    // drops those that are not read at once.
    var io = org.dflib.jjava.kernel.JavaNotebookStatics.kernel().getIO();
    for (String name : new String[] {"out", "err"}) {
        // Nothing is buffered in front of the pipe, so nothing needs to be flushed.
        var pipe = new java.io.FileOutputStream("KERNEL_DIR" + "/std" + name);
        var stream = new java.io.PrintStream(pipe, true, java.nio.charset.StandardCharsets.UTF_8);
        // The kernel makes this field `System.out` or `System.err` for each execution.
        var field = io.getClass().getField(name);
        field.setAccessible(true);
        field.set(io, stream);
    }
}
