/** What the page remembers in this browser: the results, and the files that made them. */

import { createStore, del, get, keys, set } from "idb-keyval";

const store = createStore("gioconda", "page");
// Browsers without a database, such as some private windows: the page then forgets at a reload.
const memory = new Map<string, unknown>();

export async function load<T>(key: string): Promise<T | undefined> {
  try {
    return await get<T>(key, store);
  } catch {
    return memory.get(key) as T | undefined;
  }
}

export async function save(key: string, value: unknown): Promise<void> {
  try {
    await set(key, value, store);
  } catch {
    memory.set(key, value);
  }
}

export async function drop(key: string): Promise<void> {
  memory.delete(key);
  await del(key, store).catch(() => undefined);
}

/** Every key that begins with `prefix`. */
export async function known(prefix: string): Promise<string[]> {
  const all = await keys<string>(store).catch(() => [...memory.keys()]);
  return all.filter((key) => key.startsWith(prefix));
}
