// What the pages on which a person judges have in common: elements, the photos, the keys, and the server's file of marks.

export const $ = (id) => document.getElementById(id);

export function element(tag, props = {}, ...inside) {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...inside);
  return made;
}

export const photo = (crop) => `photo?crop=${encodeURIComponent(crop)}`;

async function ask(options) {
  let answer;
  try {
    answer = await fetch("marks", options);
  } catch {
    throw new Error("The server does not answer: start it again, then reload this page.");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

/**
 * Return what puts a mark into the server's file, {what, a, b, on}, or looks at the file where none is given: one after
 * the other, in the order of the keys. `told` is given the rows of the file once no later mark is under way; `saved` is
 * called for each mark that was written. Why one was not is shown.
 */
export function marks(told, saved = () => {}) {
  let written = [], waiting = 0, last = Promise.resolve();
  return (mark) => {
    waiting += 1;
    last = last.then(async () => {
      try {
        const headers = { "Content-Type": "application/json" };
        written = await ask(mark && { method: "POST", headers, body: JSON.stringify(mark) });
        if (mark) saved();
        $("trouble").hidden = true;
      } catch (error) {
        $("trouble").textContent = mark ? `Not saved. ${error.message}` : error.message;
        $("trouble").hidden = false;
      }
      waiting -= 1;
      if (!waiting) told(written);   // else later marks are shown already
    });
    return last;
  };
}

/** Have keys act: `act` gives what one does, or nothing; those of the browser and the system are left alone. */
export function keys(act) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const done = act(event);
    if (!done) return;
    event.preventDefault();
    done();
  });
}
