// Runs silently in each new kernel of JavaScript and TypeScript.

// V8 seeds Math.random once, and its state is copied with the memory of the process. This
// generator (xoshiro128**) can be given a new one.
(() => {
  const state = crypto.getRandomValues(new Uint32Array(4));
  const rotate = (value, by) => (value << by) | (value >>> (32 - by));
  const next = () => {
    const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 11);
    return result;
  };
  Math.random = function random() {
    return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  };
  Object.defineProperty(globalThis, Symbol.for("overwinter.reseed"), {
    value: (words) => {
      for (let index = 0; index < 4; index++) state[index] = words[index] || 1;
      // The generator behind `crypto` asks the system for a new seed after 64 KiB. What may lie
      // ready for small requests is used up too.
      const waste = new Uint8Array(65536);
      for (let count = 0; count < 3; count++) crypto.getRandomValues(waste);
      for (let at = 0; at < waste.length; at += 16) {
        crypto.getRandomValues(waste.subarray(at, at + 16));
      }
    },
  });

  // Deno makes identifiers ahead, and they would be the same in each copy of its memory.
  Object.defineProperty(Crypto.prototype, "randomUUID", {
    configurable: true,
    enumerable: true,
    writable: true,
    value: function randomUUID() {
      const bytes = this.getRandomValues(new Uint8Array(16));
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    },
  });
})();

// Output and results leave the kernel in order, but its word that it is idle may overtake them.
// What this publishes comes behind them. For code that could not be compiled, of which the kernel
// says nothing but "Execution failed", it also tells why.
(() => {
  const broadcast = Deno.jupyter.broadcast;
  const AsyncFunction = (async () => {}).constructor;
  const imports = /^\s*import\s(?:[^'"]*?\sfrom\s*)?['"]([^'"]+)['"]/gm;
  const describe = (error) => ({
    name: error?.name ?? "Error",
    value: error?.message ?? String(error),
    traceback: String(error?.stack ?? error),
  });
  const diagnose = async (code) => {
    const names = [...code.matchAll(imports)].map((match) => match[1]);
    for (const name of names.filter((name) => !name.startsWith("."))) {
      try {
        await import(name);
      } catch (error) {
        return describe(error);
      }
    }
    if (names.length > 0) return null;
    try {
      new AsyncFunction(code);
      return null;
    } catch (error) {
      return { ...describe(error), traceback: `${error}` };
    }
  };
  Object.defineProperty(globalThis, Symbol.for("overwinter.fence"), {
    value: async (failed) => {
      await broadcast("overwinter_fence", { error: failed ? await diagnose(failed) : null });
    },
  });
})();

// Nobody can answer.
for (const name of ["prompt", "confirm"]) {
  globalThis[name] = () => {
    throw new Error(`${name}: this frontend does not support input requests`);
  };
}

// What is printed goes to pipes: the kernel drops messages that are not read at once.
(() => {
  const dir = "KERNEL_DIR";
  const encoder = new TextEncoder();
  // Text is encoded into this piece by piece: a program that prints a lot would otherwise fill its
  // memory with copies, outside of the heap whose size V8 limits.
  const pieceLength = 21845;
  const piece = new Uint8Array(3 * pieceLength);
  const pipes = ["stdout", "stderr"].map((name) =>
    Deno.openSync(`${dir}/${name}`, { write: true })
  );
  const write = (pipe, bytes) => {
    for (let at = 0; at < bytes.length;) at += pipe.writeSync(bytes.subarray(at));
  };
  const print = (pipe, text) => {
    for (let at = 0; at < text.length;) {
      let end = Math.min(at + pieceLength, text.length);
      // Both halves of a character stay together.
      if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end -= 1;
      const { written } = encoder.encodeInto(text.slice(at, end), piece);
      write(pipe, piece.subarray(0, written));
      at = end;
    }
  };
  const printer = new Deno[Deno.internal].Console((text, level) =>
    print(pipes[level > 1 ? 1 : 0], text)
  );
  for (const [name, method] of Object.entries(printer)) {
    if (typeof method === "function") console[name] = method;
  }
  for (const [index, name] of ["stdout", "stderr"].entries()) {
    Deno[name].writeSync = (chunk) => (write(pipes[index], chunk), chunk.length);
    Deno[name].write = async (chunk) => Deno[name].writeSync(chunk);
    process[name].write = (chunk, encoding, done) => {
      if (typeof chunk === "string") print(pipes[index], chunk);
      else write(pipes[index], chunk);
      const callback = typeof encoding === "function" ? encoding : done;
      if (callback) queueMicrotask(callback);
      return true;
    };
  }
})();
