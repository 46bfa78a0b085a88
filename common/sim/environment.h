// What a policy acts in: one simulated environment, whatever simulates it.
#ifndef BACKFLIP_COMMON_SIM_ENVIRONMENT_H_
#define BACKFLIP_COMMON_SIM_ENVIRONMENT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/experience/trajectory.h"

namespace backflip::sim {

// Everything that the next steps of an environment depend on: from equal states
// and actions, any environment of the task goes on with equal bits. Holds nothing
// of true rewards or metrics, so that it may pass through a learner.
//
// A state without noise is that of an episode that begins at a recorded moment (RecordState),
// which its physics then are: what the task remembers begins there, and the noise is drawn.
struct EnvironmentState {
  std::vector<double> physics;  // the simulator's own: MuJoCo's integration state
  int32_t episode_step = 0;     // what the time limit counts: see Environment::Begin
  std::vector<float> noise;     // [action_size], exploration noise
  uint64_t rng_seed = 0;
  uint64_t rng_counter = 0;  // draws made

  bool operator==(const EnvironmentState&) const = default;
};

// What a step came to.
struct StepResult {
  double true_reward = 0;  // 0 where the task has none
  // kTerminal or kDiverged: the episode must end here. kNone otherwise; time
  // limits are the caller's.
  experience::End end = experience::End::kNone;
};

// What teachers may know of a clip: what its own moments and actions show, with all that
// the task remembers begun at the first moment.
struct ClipTruth {
  std::vector<float> true_rewards;  // [steps]; empty where the task has no true reward
  std::vector<float> rubric;        // [criteria], in units of their margins
};

// Keeps the generator, the exploration noise and the count of steps; a simulator
// adds the physics. Not thread-safe: one thread at a time. Call Begin or Restore
// first.
class Environment {
 public:
  virtual ~Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // Training begins a share of its episodes at the task's exploring starts.
  enum class Purpose { kTraining, kEvaluation };
  // Starts the generator at `seed`, and an episode that counts as `episode_step` steps old.
  absl::Status Begin(uint64_t seed, Purpose purpose, int32_t episode_step = 0);
  // Starts the next episode with the generator as it stands. Draws the start,
  // then the exploration noise's first value.
  absl::Status BeginEpisode(Purpose purpose);
  // InvalidArgument when the state is of another task. Metrics begin anew.
  absl::Status Restore(const EnvironmentState& state);
  EnvironmentState Save() const;

  // One control step with action [action_size], clipped to [-1, 1]. An error
  // names the quantity, reward or metric that is not a finite number.
  absl::StatusOr<StepResult> Step(const float* action);

  // [observation_size] of the moment.
  virtual void Observe(float* observation) const = 0;
  // [state_size] of the moment, for clips.
  virtual void RecordState(double* state) const = 0;
  // Each metric since the episode (or the restored state) began.
  virtual std::vector<double> Metrics() const = 0;
  // Of a clip: recorded moments [steps + 1, state_size] and the actions [steps,
  // action_size] between them, at least one. Begin or Restore the environment before its
  // next step. OutOfRange as Step.
  virtual absl::StatusOr<ClipTruth> TruthOf(absl::Span<const double> states,
                                            absl::Span<const float> actions) = 0;

  int episode_step() const { return episode_step_; }
  // Standard normal draws from the environment's generator.
  void DrawNormals(absl::Span<float> normals);
  // Uniform draws in [-1, 1].
  void DrawUniforms(absl::Span<float> uniforms);
  // [action_size]; standard normal when an episode begins.
  float* noise() { return noise_.data(); }

 protected:
  explicit Environment(int action_size) : noise_(action_size) {}
  // The generator's next number.
  uint64_t Draw();
  // In [-bound, bound].
  double DrawUniform(double bound);

 private:
  virtual absl::Status ResetPhysics(Purpose purpose) = 0;
  // `physics` is finite; its size is unchecked.
  virtual absl::Status RestorePhysics(const std::vector<double>& physics) = 0;
  // The same of a recorded moment.
  virtual absl::Status RestoreMoment(const std::vector<double>& moment) = 0;
  virtual std::vector<double> SavePhysics() const = 0;
  // The physics of Step; the step is counted already.
  virtual absl::StatusOr<StepResult> Advance(const float* action) = 0;

  int32_t episode_step_ = 0;
  std::vector<float> noise_;
  uint64_t rng_seed_ = 0, rng_counter_ = 0;
};

// InvalidArgument unless a state's count of numbers of `what` is the task's.
absl::Status CheckStateSize(absl::string_view what, size_t size, size_t expected);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_ENVIRONMENT_H_
