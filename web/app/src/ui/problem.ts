/** The sentence that says what is wrong, until what it speaks of changes. */

import { useEffect, useState } from "preact/hooks";
import { declared, portrait } from "../media/portrait";

/** A problem's sentence, and how to set it; a new portrait or declaration clears it. */
export function useProblem(): [string, (sentence: string) => void] {
  const [problem, setProblem] = useState("");
  useEffect(() => setProblem(""), [portrait.value, declared.value]);
  return [problem, setProblem];
}
