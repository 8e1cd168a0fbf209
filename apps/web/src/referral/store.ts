/** The phone's own database (IndexedDB), one an app: several may be on one host. */

const VERSION = 1;
const STORES = { referrals: "id", contents: "id", models: "sha256", days: ["model", "date"], cases: "id" };

export type StoreName = keyof typeof STORES;
export type Stores = (name: StoreName) => IDBObjectStore;

/** full: the phone has no room. refused: the browser keeps nothing, as in some private windows. */
export class StorageError extends Error {
  constructor(
    readonly kind: "full" | "refused",
    why: unknown,
  ) {
    super(String(why));
  }
}

/** The app's own name, for what all apps of one host share. */
export function ownName(): string {
  return `mpox ${new URL(".", location.href).pathname}`;
}

let opened: Promise<IDBDatabase> | null = null;

function database(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const asked = indexedDB.open(ownName(), VERSION);
    asked.onupgradeneeded = () => {
      for (const [name, keyPath] of Object.entries(STORES)) asked.result.createObjectStore(name, { keyPath });
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => {
        asked.result.close(); // a later version of the app, in another tab
        opened = null;
      };
      asked.result.onclose = () => (opened = null);
      resolve(asked.result);
    };
    asked.onerror = () => reject(asked.error);
  }).catch((error: unknown) => {
    opened = null;
    throw failure(error);
  });
  return opened;
}

/** What `work` gives, once all that it did is on the disk; nothing of it is where it fails. Raises StorageError. */
export async function transact<T>(mode: IDBTransactionMode, names: StoreName[], work: (stores: Stores) => Promise<T> | T): Promise<T> {
  const transaction = (await database()).transaction(names, mode, { durability: "strict" });
  const done = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
  });
  done.catch(() => undefined); // reported below
  try {
    const found = await work((name) => transaction.objectStore(name));
    await done;
    return found;
  } catch (error) {
    if (!(error instanceof DOMException)) {
      transaction.abort();
      throw error;
    }
    throw failure(transaction.error ?? error);
  }
}

export function asked<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function failure(error: unknown): StorageError {
  return new StorageError(error instanceof DOMException && error.name === "QuotaExceededError" ? "full" : "refused", error);
}
