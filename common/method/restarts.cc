#include "common/method/restarts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/draws.h"
#include "common/method/batches.h"
#include "common/method/pace.h"

namespace backflip::method {
namespace {

// Restarts are so many steps before a clip's end.
constexpr int kFewestSteps = 5;
constexpr int kMostSteps = 40;
constexpr int kClips = 64;

}  // namespace

std::vector<Restart> PlanRestarts(const v1::RunSpec& spec, const v1::TaskInfo& task, int64_t batch,
                                  const std::vector<int32_t>& ages) {
  const double share = spec.collection().restart_share();
  if (share == 0 || spec.reward() != v1::PREFERENCES) return {};
  const auto draw = [&](size_t place, int number) {
    return base::SeedOf(spec.seed(), base::Draw::kRestart, batch, place, number);
  };
  const double episodes = static_cast<double>(ages.size()) * StepsPerEnvironment(spec) /
                          EpisodeSteps(spec, task, batch);
  const size_t count = std::min<size_t>(
      ages.size(), std::floor(share * episodes + base::UnitInterval(draw(ages.size(), 0))));
  std::vector<int> environments(ages.size());
  std::iota(environments.begin(), environments.end(), 0);
  std::stable_sort(environments.begin(), environments.end(),
                   [&](int a, int b) { return ages[a] > ages[b]; });
  environments.resize(count);
  std::sort(environments.begin(), environments.end());
  std::vector<Restart> restarts;
  for (const int environment : environments) {
    Restart& restart = restarts.emplace_back();
    restart.environment = environment;
    restart.moment.set_preferred(draw(environment, 1) % 2 == 0);
    restart.moment.set_place(draw(environment, 2));
    const int steps = kFewestSteps + draw(environment, 3) % (kMostSteps - kFewestSteps + 1);
    restart.moment.set_steps_before_end(std::min(steps, task.clip_steps()));
    restart.rng_seed = draw(environment, 4);
  }
  return restarts;
}

int RestartClips(const v1::RunSpec& spec) { return std::min(kClips, spec.queries().pool()); }

}  // namespace backflip::method
