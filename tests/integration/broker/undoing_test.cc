// Who undoes whose steps: what an operator did, operators alone undo.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;

class Undoing : public ::testing::Test {
 protected:
  Undoing() {
    run_ = broker_.CreateRun("labels: 100");
    (void)broker_.Claim(Role::kLearner);
    clips_ = broker_.Upload(run_.id(), 0, 40);
    (void)broker_.As(Role::kLabeler);
  }
  absl::Status SetState(Role as, v1::LabelerState state, const std::string& reason = "a reason") {
    const Peer& peer = broker_.As(as);
    v1::SetLabelerStateRequest request;
    request.set_name("labeler");
    request.set_state(state);
    request.set_reason(reason);
    return peer.Call(peer.people, &v1::PeopleService::Stub::SetLabelerState, request).status();
  }
  absl::StatusOr<v1::GoldPair> AddGold(Role as, size_t pair) {
    const Peer& peer = broker_.As(as);
    v1::AddGoldRequest request;
    request.set_run_id(run_.id());
    request.add_clip_ids(clips_[2 * pair]);
    request.add_clip_ids(clips_[2 * pair + 1]);
    request.set_answer(v1::LEFT);
    request.set_use(v1::CHECK);
    return peer.Call(peer.review, &v1::ReviewService::Stub::AddGold, request);
  }
  absl::Status RemoveGold(Role as, int64_t id) {
    const Peer& peer = broker_.As(as);
    v1::RemoveGoldRequest request;
    request.set_gold_id(id);
    return peer.Call(peer.review, &v1::ReviewService::Stub::RemoveGold, request).status();
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }

  TestBroker broker_;
  v1::Run run_;
  std::vector<std::string> clips_;
};

// Each step, by each role that may take it, and what each role that may take it back is told.
TEST_F(Undoing, WhatAnOperatorDidOperatorsAloneUndo) {
  size_t pairs = 0;
  int64_t gold = 0;
  struct Step {
    std::string name;
    std::function<absl::Status(Role)> take, undo;
  };
  const auto pause = [&](Role as) {
    RETURN_IF_ERROR(SetState(Role::kOperator, v1::ACTIVE));
    return SetState(as, v1::LABELER_PAUSED);
  };
  const auto make = [&](Role as) {
    const auto made = AddGold(as, pairs++);
    if (made.ok()) gold = made->gold_id();
    return made.status();
  };
  const std::vector<Step> steps = {
      {"a pause", pause, [&](Role as) { return SetState(as, v1::ACTIVE); }},
      {"the reason of a pause", pause,
       [&](Role as) { return SetState(as, v1::LABELER_PAUSED, "another"); }},
      {"a known pair", make, [&](Role as) { return RemoveGold(as, gold); }},
      {"a known pair's removal",
       [&](Role as) {
         RETURN_IF_ERROR(make(Role::kReviewer));
         return RemoveGold(as, gold);
       },
       [&](Role as) { return AddGold(as, pairs - 1).status(); }},
  };
  for (const Step& step : steps) {
    for (const Role did : {Role::kReviewer, Role::kOperator}) {
      for (const Role undoes : {Role::kReviewer, Role::kOperator}) {
        SCOPED_TRACE(absl::StrCat(step.name, " of a ", preference_broker::RoleName(did),
                                  ", undone by a ", preference_broker::RoleName(undoes)));
        ASSERT_TRUE(step.take(did).ok());
        const absl::Status undone = step.undo(undoes);
        if (did == Role::kOperator && undoes == Role::kReviewer) {
          EXPECT_TRUE(absl::IsPermissionDenied(undone)) << undone;
          EXPECT_THAT(std::string(undone.message()), HasSubstr("only an operator may change that"));
          EXPECT_TRUE(step.undo(Role::kOperator).ok());
        } else {
          EXPECT_TRUE(undone.ok()) << undone;
        }
      }
    }
  }
}

TEST_F(Undoing, AReviewerEndsThePauseOfARule) {
  Sql("UPDATE callers SET state = 'PAUSED', reason = 'too fast' WHERE name = 'labeler'");
  EXPECT_TRUE(SetState(Role::kReviewer, v1::ACTIVE).ok());
  // and what an operator ended is a reviewer's to begin
  ASSERT_TRUE(SetState(Role::kOperator, v1::LABELER_PAUSED).ok());
  ASSERT_TRUE(SetState(Role::kOperator, v1::ACTIVE).ok());
  EXPECT_TRUE(SetState(Role::kReviewer, v1::LABELER_PAUSED).ok());
  EXPECT_TRUE(SetState(Role::kReviewer, v1::ACTIVE).ok());
}

}  // namespace
}  // namespace backflip::testing
