/** Line icons, drawn on a grid of 24. */

const PATHS = {
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  play: "M8 5l11 7-11 7z",
  stop: "M7 7h10v10H7z",
  download: "M12 4v11m-5-5l5 5 5-5M5 20h14",
  share: "M12 15V4m-4 4l4-4 4 4M6 11v9h12v-9",
  compare: "M12 3v18M5 6h4v12H5M15 6h4v12h-4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  portrait: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c1-5 4-7 8-7s7 2 8 7",
  motion: "M4 7h10v10H4zM14 11l6-4v10l-6-4",
  record: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10z",
  mic: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5 11a7 7 0 0 0 14 0M12 18v3",
  undo: "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  redo: "M15 7l5 5-5 5M20 12H10a6 6 0 0 0-6 6",
  key: "M12 4l8 8-8 8-8-8z",
  window: "M4 5h16v14H4zM4 9h16",
  sound: "M4 10v4h4l5 4V6L8 10zM16 9a4 4 0 0 1 0 6",
} as const;

export type IconName = keyof typeof PATHS;

export const Icon = ({ name }: { name: IconName }) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={PATHS[name]} />
  </svg>
);
