// Networks between every two programs, and between the broker and its database: cut, slow, and
// without an answer.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tests/faults/disturbed_run.h"

namespace backflip::testing {
namespace {

class Network : public DisturbedRun {
 protected:
  static void SetUpTestSuite() { StartStack({.wires = true}); }

  static std::vector<Wire*> Wires() {
    std::vector<Wire*> wires = {&stack_->WireToLearner(), &stack_->WireToDatabase()};
    for (const Program program :
         {Program::kLearner, Program::kTrainer, Program::kWorker, Program::kTeacher}) {
      wires.push_back(&stack_->WireToBroker(program));
    }
    return wires;
  }
};

TEST_F(Network, ThatIsCutBetweenAnyTwoIsWaitedFor) {
  int64_t iterations = kMiddle;
  for (Wire* wire : Wires()) {
    wire->Cut();
    ASSERT_TRUE(wire->AwaitStopped());
    wire->Pass();
    AwaitIterations(++iterations);
  }
  Finish();
}

TEST_F(Network, ThatPausesBetweenAnyTwoIsWaitedFor) {
  int64_t iterations = kMiddle;
  for (Wire* wire : Wires()) {
    wire->Hold();
    ASSERT_TRUE(wire->AwaitStopped());
    wire->Pass();
    AwaitIterations(++iterations);
  }
  Finish();
}

// Whoever asks must give up by itself, and what was done without an answer is not done twice.
TEST_F(Network, ThatIsHalfOpenIsGivenUpAndWorkGoesOn) {
  for (Wire* wire : Wires()) {
    if (wire != &stack_->WireToDatabase()) wire->HoldAnswers();
  }
  // pings are answered no more: every connection is given up after 15 s, while claims end after 10
  const auto given_up = stack_->Await(run_id_, [&](const v1::Run&) {
    return Number(absl::StrCat("SELECT count(*) FROM claims WHERE run_id = ", run_id_,
                               " AND expires_at < now() - interval '8 seconds'")) == 2;
  });
  EXPECT_TRUE(given_up.ok()) << given_up.status();
  for (Wire* wire : Wires()) wire->Pass();
  Finish();
}

TEST_F(Network, ThatIsSlowAndLossyIsWorkedWith) {
  for (Wire* wire : Wires()) {
    if (wire != &stack_->WireToDatabase()) wire->Slow(absl::Milliseconds(150), /*lost_of=*/50);
  }
  AwaitIterations(kMiddle + 3);
  for (Wire* wire : Wires()) wire->Pass();
  Finish();
}

}  // namespace
}  // namespace backflip::testing
