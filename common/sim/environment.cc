#include "common/sim/environment.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::sim {

absl::Status CheckStateSize(absl::string_view what, size_t size, size_t expected) {
  if (size == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "an environment's state has ", size, " numbers of ", what, "; this task has ", expected));
}

absl::Status Environment::Begin(uint64_t seed, Purpose purpose, int32_t episode_step) {
  rng_seed_ = seed;
  rng_counter_ = 0;
  RETURN_IF_ERROR(BeginEpisode(purpose));
  episode_step_ = episode_step;
  return absl::OkStatus();
}

absl::Status Environment::BeginEpisode(Purpose purpose) {
  episode_step_ = 0;
  RETURN_IF_ERROR(ResetPhysics(purpose));
  DrawNormals(absl::MakeSpan(noise_));
  return absl::OkStatus();
}

absl::Status Environment::Restore(const EnvironmentState& state) {
  const bool begins = state.noise.empty();
  if (!begins) RETURN_IF_ERROR(CheckStateSize("noise", state.noise.size(), noise_.size()));
  if (state.episode_step < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("an environment's state has episode step ", state.episode_step));
  }
  const auto finite = [](double x) { return std::isfinite(x); };
  if (!std::all_of(state.physics.begin(), state.physics.end(), finite) ||
      !std::all_of(state.noise.begin(), state.noise.end(), finite)) {
    return absl::InvalidArgumentError("an environment's state has a number that is not finite");
  }
  episode_step_ = state.episode_step;
  rng_seed_ = state.rng_seed;
  rng_counter_ = state.rng_counter;
  if (begins) {
    DrawNormals(absl::MakeSpan(noise_));
    return RestoreMoment(state.physics);
  }
  noise_ = state.noise;
  return RestorePhysics(state.physics);
}

EnvironmentState Environment::Save() const {
  return {.physics = SavePhysics(),
          .episode_step = episode_step_,
          .noise = noise_,
          .rng_seed = rng_seed_,
          .rng_counter = rng_counter_};
}

absl::StatusOr<StepResult> Environment::Step(const float* action) {
  ++episode_step_;
  return Advance(action);
}

uint64_t Environment::Draw() { return base::SeedOf({rng_seed_, rng_counter_++}); }

double Environment::DrawUniform(double bound) {
  return bound * (2 * base::UnitInterval(Draw()) - 1);
}

void Environment::DrawNormals(absl::Span<float> normals) {
  // pairs, by Box and Muller's transform
  for (size_t i = 0; i < normals.size(); i += 2) {
    const double radius = std::sqrt(-2 * std::log(1 - base::UnitInterval(Draw())));
    const double angle = 2 * M_PI * base::UnitInterval(Draw());
    normals[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < normals.size()) {
      normals[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
}

void Environment::DrawUniforms(absl::Span<float> uniforms) {
  for (float& value : uniforms) value = static_cast<float>(DrawUniform(1));
}

}  // namespace backflip::sim
