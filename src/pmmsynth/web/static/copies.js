// Copies on this computer of texts that the server has not confirmed. Every page keeps its own, so that none writes over
// what another could not save.

/** Where a page that begins keeps the copy of its text. */
export function place(item) {
  return `${prefix(item)}${Math.random()}`;
}

export function keep(place, report) {
  const copy = JSON.stringify({ report, at: new Date().toISOString() });
  stored(() => localStorage.setItem(place, copy));
}

export function drop(place) {
  stored(() => localStorage.removeItem(place));
}

/** The copies of all pages, the newest first. */
export function copies(item) {
  const places = stored(() => Object.keys(localStorage)) ?? [];
  const kept = places.filter((place) => place.startsWith(prefix(item)));
  const found = kept.map((place) => ({ place, ...JSON.parse(localStorage.getItem(place)) }));
  return found.sort((one, other) => other.at.localeCompare(one.at));
}

function prefix(item) {
  return `report ${item} `;
}

/** Browsers may refuse to store; then there is no copy, and reading goes on. */
function stored(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
