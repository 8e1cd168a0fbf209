// The web app's questions to a FHIR server, without a browser. Each line of its input is `["post", server, bundle]` or
// `["answer", server, id]`; what comes of it is printed as JSON.
import { createInterface } from "node:readline";

import { answerAt, post } from "../../apps/web/src/referral/server";

for await (const line of createInterface({ input: process.stdin })) {
  const [what, server, about] = JSON.parse(line);
  const asked = what === "post" ? post(server, about).then(() => "there") : answerAt(server, about);
  console.log(JSON.stringify(await asked.catch((error) => ({ fault: error.fault, wait: error.wait, why: String(error) }))));
}
