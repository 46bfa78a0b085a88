// How a policy learns from experience. Where rewards come from is the caller's business:
// they are handed in when something is learned, so that a newer reward also holds for
// experience from before it.
//
// To add an algorithm: implement Algorithm in a folder of its own, give it a message of
// options in RunSpec, and name it in MakeAlgorithm.
#ifndef BACKFLIP_COMMON_LEARN_ALGORITHM_H_
#define BACKFLIP_COMMON_LEARN_ALGORITHM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/run.pb.h"
#include "common/experience/trajectory.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

class Rewarder {
 public:
  virtual ~Rewarder() = default;

  // Which reward it is, for messages.
  virtual int64_t version() const = 0;
  // Rewards [steps] of a whole trajectory. Never score it in parts: matrix products of
  // fewer rows may round otherwise, and then the same run gives other policies.
  virtual std::vector<float> Score(const experience::Trajectory& trajectory) const = 0;
};

// Numbers about one improvement, by name. They are charted as policy/<name>.
using Statistics = std::map<std::string, double>;

struct Sizes {
  int observation = 0;      // numbers of an observation, at least 1
  int action = 0;           // numbers of an action, at least 1
  double step_seconds = 0;  // simulated time of a step; above 0 where noise_seconds is
};

// Not thread-safe. Calls block for as long as they compute. INTERNAL: LibTorch failed.
class Algorithm {
 public:
  virtual ~Algorithm() = default;

  // Takes in what the policy did, and keeps what it will learn from again. The batch came
  // from Policy(), or nearly so. The first batch also says how observations are scaled, which
  // changes Policy(); no later one does. INVALID_ARGUMENT, with nothing changed: wrong sizes, or
  // values that are not finite.
  virtual absl::Status Observe(experience::Batch batch) = 0;

  // One iteration on the experience that it keeps, all of it rewarded by `rewarder`.
  // `progress`: the share of the run's improvements that came before, [0, 1]; options that
  // change over a run follow it, and never go back. INVALID_ARGUMENT, with nothing changed:
  // nothing was observed yet, or rewards are not finite. FAILED_PRECONDITION, which says what to
  // change: the options made an update of which nothing was a finite number; Policy() is then
  // not to be used.
  virtual absl::StatusOr<Statistics> Improve(const Rewarder& rewarder, double progress) = 0;

  // The policy as it is now (common/nn/policy.h).
  virtual nn::Snapshot Policy() const = 0;

  // Begins as a policy that was trained for `steps` steps elsewhere, with no improvements
  // behind it. It stays as it is until its returns can be told. INVALID_ARGUMENT, with nothing
  // changed, when it has other sizes.
  virtual absl::Status BeginFrom(const nn::Snapshot& policy, int64_t steps) = 0;

  // One that loads a state goes on as the one that saved it, with the same options. What
  // was observed is not part of it.
  virtual nn::Snapshot SaveState() const = 0;
  virtual absl::Status LoadState(const nn::Snapshot& state) = 0;
};

// The algorithm that `spec` names, from the run's seed. Every option that has a default is
// set, and all are in their ranges (common/options).
absl::StatusOr<std::unique_ptr<Algorithm>> MakeAlgorithm(const v1::RunSpec& spec, Sizes sizes);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_ALGORITHM_H_
