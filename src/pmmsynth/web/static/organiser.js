// The organiser's page: times as the clock of this computer shows them, and anew every 30 seconds.

import { call, signOut } from "./server.js";

for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
document.querySelector("#signout").addEventListener("click", signOut);
setInterval(() => call("GET", "/").then(() => location.reload()).catch(() => {}), 30_000);
