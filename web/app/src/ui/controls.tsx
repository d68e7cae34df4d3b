/** The page's few controls: each a native element with a label. */

import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { Icon } from "./icon";

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  choose: (value: T) => void;
  /** Whether the options stand in a row, as the parts of one switch. */
  segmented?: boolean;
  hidden?: boolean;
}

export function Choice<T extends string>({ label, value, options, choose, segmented, hidden }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset class={segmented ? "choice segmented" : "choice"}>
      <legend class={hidden ? "unseen" : ""}>{label}</legend>
      {options.map(([word, text]) => (
        <label key={word}>
          <input type="radio" name={name} value={word} checked={word === value} onChange={() => choose(word)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface SelectProps {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  choose: (value: string) => void;
}

export function Select({ label, value, options, choose }: SelectProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {options.map(([word, text]) => (
          <option key={word} value={word}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Check({ label, on, turn }: { label: string; on: boolean; turn: (on: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={on} onChange={(event) => turn(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

interface RangeProps {
  label: string;
  value: number;
  low: number;
  high: number;
  step?: number;
  /** Written after the number, such as °. */
  unit?: string;
  /** The unit as it is read out. */
  spoken?: string;
  move: (value: number) => void;
  settle?: () => void;
}

/** A slider that fills from its resting value, 0 where that lies inside. */
export function Range({ label, value, low, high, step = 0.01, unit, spoken, move, settle }: RangeProps) {
  const rest = Math.min(high, Math.max(low, 0));
  const share = (number: number) => ((number - low) / (high - low)) * 100;
  const [from, to] = [Math.min(share(rest), share(value)), Math.max(share(rest), share(value))];
  const number = unit ? `${round(value)}${unit}` : `${Math.round(value * 100)}`;
  return (
    <label class="range">
      <span>{label}</span>
      <input
        type="range"
        min={low}
        max={high}
        step={step}
        value={value}
        aria-valuetext={unit ? `${round(value)} ${spoken ?? unit}` : `${Math.round(value * 100)} percent`}
        style={{ "--from": `${from}%`, "--to": `${to}%` }}
        onInput={(event) => move(Number(event.currentTarget.value))}
        onChange={settle}
      />
      <output>{number}</output>
    </label>
  );
}

const round = (value: number): number => Math.round(value * 100) / 100;

interface DropProps {
  label: string;
  accept: string;
  several?: boolean;
  take: (files: File[]) => void;
  children?: ComponentChildren;
  id?: string;
}

/** A place to drop, choose or paste files. */
export function Drop({ label, accept, several, take, children, id }: DropProps) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const taken = (list: FileList | null | undefined) => {
    const files = [...(list ?? [])];
    if (files.length) take(several ? files : files.slice(0, 1));
  };
  return (
    <label
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        taken(event.dataTransfer?.files);
      }}
      onPaste={(event) => taken(event.clipboardData?.files)}
    >
      <input
        ref={input}
        id={id}
        type="file"
        accept={accept}
        multiple={several}
        onChange={(event) => {
          taken(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
      <Icon name="add" />
      <span>{label}</span>
      {children}
    </label>
  );
}

export function Fold({ title, children, open }: { title: string; children: ComponentChildren; open?: boolean }) {
  return (
    <details class="fold" open={open}>
      <summary>{title}</summary>
      <div class="folded">{children}</div>
    </details>
  );
}

/** A file that was chosen, with its name and a button that takes it away. */
export function Chosen({ file, remove }: { file: File; remove: () => void }) {
  return (
    <p class="chosen">
      <Icon name="file" />
      <span>{file.name}</span>
      <button type="button" class="plain" aria-label={`Remove ${file.name}`} onClick={remove}>
        <Icon name="close" />
      </button>
    </p>
  );
}
