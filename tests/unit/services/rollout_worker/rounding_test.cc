#include "services/rollout_worker/rounding.h"

#include <string>

#include "common/sim/simulator.h"
#include "common/sim/task.h"
#include "gtest/gtest.h"

namespace backflip::rollout_worker {
namespace {

std::string RoundingOf(const std::string& task, int threads) {
  auto loaded = sim::Task::FromFolder(BACKFLIP_TASKS "/" + task);
  return Rounding((*sim::Simulator::Start(*std::move(loaded), threads)).get()).value();
}

// That another processor's functions give another one: Faults.OfAMixedFleetAreSaidWhenItMixes.
TEST(RoundingTest, IsAPropertyOfMachineAndTaskAlone) {
  const std::string rounding = RoundingOf("hopper", 1);
  EXPECT_EQ(rounding.size(), 32u);
  EXPECT_EQ(RoundingOf("hopper", 2), rounding);
  EXPECT_NE(RoundingOf("swimmer", 1), rounding);
}

}  // namespace
}  // namespace backflip::rollout_worker
