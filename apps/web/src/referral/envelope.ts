/** Encryption to a clinic's public key (HPKE, RFC 9180), and of its answer back. */

import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import { ClinicKey } from "../measure/site";
import { base64url, fromBase64url, utf8 } from "./bytes";

const SUITE = "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM";
const INFO = utf8("mpox referral 1");
const REPLY = utf8("mpox answer 1");

export interface Sealed {
  file: string; // JSON of the envelope
  replyKey: CryptoKey; // of the answer; it cannot be read out
}

export async function seal(text: string, id: string, key: ClinicKey): Promise<Sealed> {
  const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const recipientPublicKey = await suite.kem.deserializePublicKey(fromBase64url(key.public));
  const sender = await suite.createSenderContext({ recipientPublicKey, info: INFO });
  const ciphertext = base64url(new Uint8Array(await sender.seal(utf8(text), utf8(id))));
  const enc = base64url(new Uint8Array(sender.enc));
  const file = JSON.stringify({ format: "mpox-referral", version: 1, id, suite: SUITE, key: key.id, enc, ciphertext });
  const secret = await sender.export(REPLY, 32);
  return { file, replyKey: await crypto.subtle.importKey("raw", secret, "AES-GCM", false, ["decrypt"]) };
}

/** The text of an answer to referral `id`. Raises an error for one that was not made with `key`, or was changed. */
export async function unseal(answer: { iv: string; ciphertext: string }, id: string, key: CryptoKey): Promise<string> {
  const how = { name: "AES-GCM", iv: fromBase64url(answer.iv), additionalData: utf8(id) };
  return new TextDecoder().decode(await crypto.subtle.decrypt(how, key, fromBase64url(answer.ciphertext)));
}
