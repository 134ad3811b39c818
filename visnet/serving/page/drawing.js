// A box drawn on a photo: dragged with mouse or finger, or moved and sized with the arrow keys.

import { h } from "./elements.js";

const CLICK_PX = 6; // a shorter drag is a click
const STEP = 0.02; // of the photo, for each press of a key
const LEAST = 0.04; // of the photo: no side of a box is shorter
const DRAG = "Drag over the part you mean.";
const KEYS = "Arrow keys move the area, with Shift they size it; Enter searches, Escape leaves.";

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Put a box, parts of the photo [left, top, right, bottom] in 0..1, where it belongs. */
export function place(node, [left, top, right, bottom]) {
  const edges = { left, top, width: right - left, height: bottom - top };
  for (const [edge, value] of Object.entries(edges)) node.style[edge] = `${value * 100}%`;
}

/** Have boxes dragged on a frame: with the mouse at any time, with a finger while `drawing()`; then `done(box)`. */
export function draggable(frame, drawing, done) {
  let from = null;
  let drawn = null;
  const at = (event) => {
    const room = frame.getBoundingClientRect();
    const part = (value, start, size) => clamp((value - start) / size, 0, 1);
    return [part(event.clientX, room.left, room.width), part(event.clientY, room.top, room.height)];
  };
  const leave = () => {
    drawn?.remove();
    from = drawn = null;
    frame.classList.remove("dragged");
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (event.pointerType === "touch" && !drawing())) return;
    from = { part: at(event), x: event.clientX, y: event.clientY, box: null };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!from || (!drawn && Math.hypot(event.clientX - from.x, event.clientY - from.y) < CLICK_PX)) return;
    if (!drawn) {
      drawn = frame.appendChild(h("span.drawn"));
      frame.classList.add("dragged");
      frame.setPointerCapture(event.pointerId);
    }
    const [x, y] = at(event);
    const [startX, startY] = from.part;
    from.box = [Math.min(x, startX), Math.min(y, startY), Math.max(x, startX), Math.max(y, startY)];
    place(drawn, from.box);
  });
  frame.addEventListener("pointerup", () => {
    const box = from?.box;
    leave();
    if (!box) return;
    frame.addEventListener("click", (event) => event.stopPropagation(), { capture: true, once: true });
    setTimeout(() => frame.dispatchEvent(new Event("click"))); // ends the line above where no click followed
    if (box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST) done(box);
  });
  frame.addEventListener("pointercancel", leave);
  frame.addEventListener("dragstart", (event) => event.preventDefault());
}

/** Make the box that keys move, beginning with `box`; `say(text)` speaks, `done(box)` and `leave()` end it. */
export function keyed(box, { say, done, leave }) {
  const node = h("span.drawn.keyed", {
    tabindex: 0,
    role: "application",
    "aria-label": `Area. ${KEYS}`,
    "data-key": "area",
  });
  const ways = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter") done(box);
    else if (event.key === "Escape") leave();
    else if (ways[event.key]) {
      box = event.shiftKey ? sized(box, ways[event.key]) : moved(box, ways[event.key]);
      place(node, box);
      say(spoken(box));
    } else return;
    event.preventDefault();
  });
  place(node, box);
  return { node, help: [DRAG, h("span.keys", {}, ` ${KEYS}`)], box: () => box };
}

function moved([left, top, right, bottom], [x, y]) {
  const dx = clamp(x, -left, 1 - right);
  const dy = clamp(y, -top, 1 - bottom);
  return [left + dx, top + dy, right + dx, bottom + dy];
}

function sized([left, top, right, bottom], [x, y]) {
  return [left, top, clamp(right + x, left + LEAST, 1), clamp(bottom + y, top + LEAST, 1)];
}

function spoken([left, top, right, bottom]) {
  const share = (part) => `${Math.round(part * 100)} %`;
  const size = `width ${share(right - left)}, height ${share(bottom - top)}`;
  return `From the left ${share(left)}, from the top ${share(top)}, ${size}`;
}
