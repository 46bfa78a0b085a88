// Two runs share two workers: each gets some, and whoever becomes free helps
// the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

v1::RunSpec Spec(int labels, int batches) {
  v1::RunSpec spec = ShortRun(labels, batches);
  spec.mutable_reward_model()->set_updates_per_batch(2);
  return spec;
}

TEST(TwoRuns, ShareWorkersWhichGoOverToTheOtherWhenOneEnds) {
  auto started = Stack::Start();
  ASSERT_TRUE(started.ok()) << started.status();
  Stack& stack = **started;
  const auto brief = stack.Create("hopper_backflip_guided", Spec(10, 20));
  ASSERT_TRUE(brief.ok()) << brief.status();
  const auto lengthy = stack.Create("hopper_backflip_guided", Spec(20, 80));
  ASSERT_TRUE(lengthy.ok()) << lengthy.status();
  for (const Program program :
       {Program::kLearner, Program::kSecondLearner, Program::kTrainer, Program::kSecondTrainer}) {
    ASSERT_TRUE(stack.StartProgram(program).ok());
  }
  // a claimed run wants steps only once its learner has said so
  const auto wanting = stack.Await(lengthy->id(), [&](const v1::Run&) {
    return stack.Sql("SELECT count(*) FROM claims WHERE role = 'learner' AND wanted_steps > 0") ==
           "2";
  });
  ASSERT_TRUE(wanting.ok()) << wanting.status();
  for (const Program program : {Program::kWorker, Program::kSecondWorker}) {
    ASSERT_TRUE(stack.StartProgram(program).ok());
  }

  const auto is_of_lengthy = [&](const std::string& log, size_t line) {
    return line != std::string::npos &&
           absl::StrContains(log.substr(line, log.find('\n', line) - line),
                             absl::StrCat("\"run\":", lengthy->id(), ","));
  };
  const std::string serving = "\"serving a run\"";
  const auto began_with_lengthy = [&](Program worker) {
    const std::string log = stack.Log(worker);
    return is_of_lengthy(log, log.find(serving));
  };
  const auto serves_lengthy = [&](Program worker) {
    const std::string log = stack.Log(worker);
    return is_of_lengthy(log, log.rfind(serving));
  };
  // each takes up one of them; without a teacher none of the runs can end meanwhile
  const auto taken_up = [&](Program worker) {
    return absl::StrContains(stack.Log(worker), serving);
  };
  const auto both = stack.Await(lengthy->id(), [&](const v1::Run&) {
    return taken_up(Program::kWorker) && taken_up(Program::kSecondWorker);
  });
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_NE(began_with_lengthy(Program::kWorker), began_with_lengthy(Program::kSecondWorker));
  // none waits for the other's end
  const auto two =
      stack.Await(lengthy->id(), [](const v1::Run& run) { return run.iterations() >= 2; });
  ASSERT_TRUE(two.ok()) << two.status();
  const auto meanwhile = stack.broker().Get(brief->id());
  ASSERT_TRUE(meanwhile.ok()) << meanwhile.status();
  EXPECT_EQ(meanwhile->state(), v1::RUNNING);
  ASSERT_TRUE(stack.StartProgram(Program::kTeacher).ok());

  const auto end = stack.Await(brief->id(), Finished);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->labels(), 10);
  const auto helped = stack.Await(lengthy->id(), [&](const v1::Run& run) {
    return Finished(run) ||
           (serves_lengthy(Program::kWorker) && serves_lengthy(Program::kSecondWorker));
  });
  ASSERT_TRUE(helped.ok()) << helped.status();
  EXPECT_FALSE(Finished(*helped)) << "a worker did not ask again";
  const auto other_end = stack.Await(lengthy->id(), Finished);
  ASSERT_TRUE(other_end.ok()) << other_end.status();
  EXPECT_EQ(other_end->labels(), 20);
  EXPECT_EQ(other_end->iterations(), 80);
}

}  // namespace
}  // namespace backflip::testing
