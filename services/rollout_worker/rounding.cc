#include "services/rollout_worker/rounding.h"

#include <cmath>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"

namespace backflip::rollout_worker {
namespace {

constexpr int kSteps = 25;
constexpr int kArguments = 4000;

void Append(const std::vector<double>& numbers, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double));
}

}  // namespace

absl::StatusOr<std::string> Rounding(sim::Simulator* simulator) {
  sim::Ticket ticket;
  ticket.environments.push_back({.reset_seed = 1, .state = {}});
  ticket.steps = kSteps;
  ASSIGN_OR_RETURN(const sim::Rollout rollout, simulator->Run(std::move(ticket)));
  std::string bytes;
  for (const sim::Recording& recording : rollout.recordings) {
    Append(recording.states, &bytes);
    Append(recording.last_state, &bytes);
  }
  for (int i = 1; i <= kArguments; ++i) {
    const double x = 0.00137 * i;
    Append({std::sin(x), std::cos(x), std::exp(x), std::log(x), std::pow(x, 1.37), std::tanh(x - 2),
            std::atan2(x, 1.3)},
           &bytes);
  }
  return base::Sha256(bytes);
}

}  // namespace backflip::rollout_worker
