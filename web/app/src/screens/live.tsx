export function LiveStage() {
  return <p class="phase">Live</p>;
}
export function Live() {
  return <p class="phase">Live</p>;
}
