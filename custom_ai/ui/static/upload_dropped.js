// What was dropped on the page: files, and folders to their depths.

/** Every file of a drop as {file, name}, the name with the folders it was dropped with. */
export async function dropped(transfer) {
  // The list is only there while the event is handled: the entries are taken before any waiting.
  const entries = [...transfer.items].map((item) => item.kind === "file" && item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return plain(transfer.files);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const name = entry.fullPath.replace(/^\//, "");
    const file = await new Promise((done) => entry.file(done, () => done(null)));
    found.push({ file, name });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader hands out a folder in portions; an empty one is the end.
    const some = await new Promise((done) => reader.readEntries(done, () => done([])));
    if (!some.length) return;
    for (const inner of some) await walk(inner, found);
  }
}

export const plain = (files) => [...files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
