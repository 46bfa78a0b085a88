// The database's server dies, and its standby takes its place.
#include <gtest/gtest.h>

#include <memory>

#include "tests/faults/disturbed_run.h"
#include "tests/support/postgres_pair.h"

namespace backflip::testing {
namespace {

class Failover : public DisturbedRun {
 protected:
  static void SetUpTestSuite() {
    auto pair = PostgresPair::Start();
    ASSERT_TRUE(pair.ok()) << pair.status();
    pair_ = pair->release();
    StartStack({.database = pair_->url()});
  }
  static void TearDownTestSuite() {
    DisturbedRun::TearDownTestSuite();
    delete pair_;
  }
  static PostgresPair* pair_;
};

PostgresPair* Failover::pair_ = nullptr;

TEST_F(Failover, LosesNothingThatWasAcknowledged) {
  pair_->KillPrimary();
  // nobody is there to answer for a while
  const absl::Status noticed = stack_->AwaitServing(false);
  EXPECT_TRUE(noticed.ok()) << noticed;
  const absl::Status promoted = pair_->Promote();
  ASSERT_TRUE(promoted.ok()) << promoted;
  Finish();
}

}  // namespace
}  // namespace backflip::testing
