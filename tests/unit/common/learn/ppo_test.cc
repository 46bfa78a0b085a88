#include "common/learn/ppo/ppo.h"

#include <memory>

#include "common/learn/torch_runtime.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"
#include "tests/unit/common/learn/linear_task.h"

namespace backflip::learn {
namespace {

v1::RunSpec Spec() {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_collection()->set_noise_seconds(0);
  v1::Ppo& ppo = *spec.mutable_ppo();
  ppo.clear_hidden();
  ppo.add_hidden(16);
  ppo.set_minibatch_steps(128);
  ppo.set_learning_rate(1e-2);
  return spec;
}

std::unique_ptr<Algorithm> Make(const v1::RunSpec& spec) {
  SetUpTorch();
  auto ppo = MakePpo(spec, {.observation = 1, .action = 1});
  EXPECT_TRUE(ppo.ok()) << ppo.status();
  return *std::move(ppo);
}

TEST(Ppo, ClipsReusedBatchesAroundTheNewestPolicy) {
  v1::RunSpec spec = Spec();
  spec.mutable_ppo()->set_reused_batches(1);
  spec.mutable_ppo()->set_max_kl(0);
  auto ppo = Make(spec);
  const auto moved = Learn({}, 1, 0, ppo.get());
  ASSERT_TRUE(moved.ok());
  ASSERT_GT(moved->at("kl"), 0.01);
  // one step: the newest policy is the one before it, but the older batch's is another
  const nn::Snapshot state = ppo->SaveState();
  spec.mutable_ppo()->set_epochs(1);
  spec.mutable_ppo()->set_minibatch_steps(2 * 16 * 32);
  auto one_step = Make(spec);
  const experience::Batch older = Collect({}, *one_step, 1);
  ASSERT_TRUE(one_step->Observe(older).ok());
  ASSERT_TRUE(one_step->LoadState(state).ok());
  const auto statistics = Learn({}, 2, 0, one_step.get());
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  EXPECT_EQ(statistics->at("clipped"), 0);
  EXPECT_EQ(statistics->at("kl"), 0);
}

TEST(Ppo, EndsAnUpdateThatHasMovedFarEnough) {
  v1::RunSpec spec = Spec();
  const auto epochs = [&](double max_kl) {
    spec.mutable_ppo()->set_max_kl(max_kl);
    return Learn({}, 1, 0, Make(spec).get())->at("epochs");
  };
  EXPECT_EQ(epochs(0), 10);
  EXPECT_EQ(epochs(100), 10);
  EXPECT_LT(epochs(0.003), 10);
}

}  // namespace
}  // namespace backflip::learn
