// Looks into the WebAssembly of the Worker. To be imported before it, for its
// module makes the instance.
const instances = [];
const { Instance } = WebAssembly;

WebAssembly.Instance = class extends Instance {
  constructor(...of) {
    super(...of);
    instances.push(new WeakRef(this));
  }
};

/** Bytes of the memory of all instances. It never shrinks. */
export function memoryBytes() {
  const living = instances.map((instance) => instance.deref()).filter(Boolean);
  return living.reduce((sum, { exports }) => sum + exports.memory.buffer.byteLength, 0);
}
