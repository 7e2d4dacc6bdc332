# Starts the kernel of R: `R --slave -f launch.R --args CONNECTION_FILE`.

# What is printed goes to pipes beside the connection file, as it is printed: those are the output and
# the errors of this process, so that programs which it starts print there too. IRkernel collects what
# is printed until an expression ends, which takes time that grows with the square of the number of
# lines, and memory for all of it.
local({
  pipe <- function(name, mode) {
    directory <- dirname(commandArgs(trailingOnly = TRUE)[[1]])
    fifo(file.path(directory, name), mode, blocking = TRUE)
  }
  out <- pipe("stdout", "w")
  # Has a byte for each result that was taken.
  taken <- pipe("taken", "rb")
  # What evaluate puts in the place of stdout; another version may do it elsewhere.
  evaluate <- asNamespace("evaluate")
  to_pipe <- new.env(parent = evaluate)
  to_pipe$sink <- function(file = NULL, ...) {
    if (is.null(file)) base::sink(...) else base::sink(out)
  }
  to_pipe$textConnection <- function(...) out
  to_pipe$close <- function(con, ...) if (!identical(con, out)) base::close(con, ...)
  for (name in c("watchout", "local_persistent_sink_connection")) {
    if (exists(name, evaluate, inherits = FALSE)) {
      changed <- get(name, evaluate)
      environment(changed) <- to_pipe
      unlockBinding(name, evaluate)
      assign(name, changed, evaluate)
      lockBinding(name, evaluate)
    }
  }
  # Messages and warnings, which IRkernel publishes.
  kernel <- asNamespace("IRkernel")
  executor <- get("Executor", kernel)$def@refMethods
  executor$stream@.Data <- function(output, streamname) {
    cat(output, file = if (identical(streamname, "stderr")) stderr() else stdout())
  }
  # A message has the end of its line already.
  executor$handle_message@.Data <- function(o) stream(conditionMessage(o), "stderr")
  # What is printed after a result must not overtake it, and results that are not read at once must
  # not be dropped.
  methods <- get("Kernel", kernel)$def@refMethods
  send <- methods$send_response@.Data
  body(send) <- bquote({
    .(body(send))
    if (identical(msg_type, "display_data")) readBin(.(taken), "raw", 1L)
  })
  methods$send_response@.Data <- send
})

# Nobody can answer.
#
# Before each execution IRkernel puts functions in place that ask for input, whether or not anybody
# can answer, and wait for ever.
local({
  refuse <- function(prompt = "") {
    stop("this frontend does not support input requests", call. = FALSE)
  }
  kernel <- asNamespace("IRkernel")
  refusing <- function(setter, at, asker) {
    original <- get(setter, kernel)
    unlockBinding(setter, kernel)
    assign(setter, function(...) {
      arguments <- list(...)
      if (identical(arguments[[at]], asker)) arguments[[at + 1]] <- refuse
      do.call(original, arguments)
    }, envir = kernel)
    lockBinding(setter, kernel)
  }
  refusing("replace_in_package", 2, "readline")
  refusing("add_to_user_searchpath", 1, "getPass")
})

IRkernel::main()
