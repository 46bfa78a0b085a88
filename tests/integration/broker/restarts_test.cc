// Moments of clips that episodes begin at.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backflip/v1/restart.grpc.pb.h"
#include "tests/integration/broker/fixtures.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

// Clips of the batch whose states say which one it is (`first`, …) and which moment.
std::vector<std::string> UploadClips(TestBroker* broker, int64_t run_id, int64_t iteration,
                                     int first, int count) {
  broker->Reach(run_id, iteration);
  v1::UploadClipsRequest request;
  request.set_run_id(run_id);
  for (int i = 0; i < count; ++i) {
    v1::Clip* clip = request.add_clips();
    *clip = TestClip(static_cast<float>(first + i), iteration, 0, i);
    for (int at = 0; at < clip->states_size(); ++at) {
      clip->set_states(at, 100 * (first + i) + at / 5);
    }
  }
  const Peer& worker = broker->As(Role::kWorker);
  const auto response = worker.Call(worker.clips, &v1::ClipService::Stub::Upload, request);
  EXPECT_TRUE(response.ok()) << response.status();
  return {response->clip_ids().begin(), response->clip_ids().end()};
}

class Restarts : public ::testing::Test {
 protected:
  Restarts() : run_id_(broker_.CreateRun("labels: 1000").id()) {
    learner_ = broker_.Claim(Role::kLearner);
    trainer_ = broker_.Claim(Role::kTrainer);
  }

  // The first number of each moment's state.
  absl::StatusOr<std::vector<double>> Moments(const std::string& request) {
    const Peer& learner = broker_.As(Role::kLearner);
    const auto restarts = v1::RestartService::NewStub(learner.client.channel());
    auto get = Parse<v1::GetMomentsRequest>(request);
    get.set_run_id(run_id_);
    const auto moments =
        learner.ReadAll<v1::Moment>(restarts, &v1::RestartService::Stub::GetMoments, get);
    if (!moments.ok()) return moments.status();
    std::vector<double> first;
    for (const v1::Moment& moment : *moments) {
      EXPECT_EQ(moment.state_size(), 5);
      first.push_back(moment.state(0));
    }
    return first;
  }

  // A teacher prefers the clip of greater reward, the later one.
  void Answer(int questions) {
    const Peer& teacher = broker_.As(Role::kTeacher);
    for (int i = 0; i < questions; ++i) {
      const auto leased = teacher.Call(teacher.labeling, &v1::LabelingService::Stub::Lease,
                                       Parse<v1::LeaseRequest>("wait_ms: 5000"));
      ASSERT_TRUE(leased.ok() && leased->questions_size() == 1) << leased.status();
      const v1::Question& question = leased->questions(0);
      const bool left = question.clips(0).true_rewards(0) > question.clips(1).true_rewards(0);
      ASSERT_TRUE(Submit(teacher, AnswerTo(question.lease_id(), left ? v1::LEFT : v1::RIGHT)).ok());
    }
  }

  TestBroker broker_;
  const int64_t run_id_;
  v1::ClaimResponse learner_, trainer_;
};

using V = std::vector<double>;

TEST_F(Restarts, AreMomentsOfTheNewestCandidatesAndOfThosePreferredBeforeThem) {
  EXPECT_EQ(*Moments("limit: 9 choices { place: 3 }"), V{}) << "no candidates yet";
  const auto early = UploadClips(&broker_, run_id_, 0, 1, 4);
  UploadClips(&broker_, run_id_, 1, 5, 2);
  const std::string newest =
      " choices { place: 0 steps_before_end: 0 } choices { place: 1 steps_before_end: 1 }"
      " choices { place: 2 steps_before_end: 3 } choices { place: 6 steps_before_end: 99 }";
  EXPECT_EQ(*Moments("max_iteration: 1 max_round: -1 limit: 9" + newest), (V{603, 502, 400, 600}));
  EXPECT_EQ(*Moments("max_iteration: 0 max_round: -1 limit: 9" + newest), (V{403, 302, 200, 200}));
  EXPECT_EQ(*Moments("max_iteration: 1 max_round: -1 limit: 2" + newest), (V{603, 502, 600, 600}));

  const std::string preferred =
      " choices { preferred: true place: 0 } choices { place: 0 }"
      " choices { preferred: true place: 1 }";
  ASSERT_TRUE(broker_.Open(run_id_, trainer_.epoch(), 0, {early[0], early[1]}).ok());
  ASSERT_TRUE(broker_.Open(run_id_, trainer_.epoch(), 1, {early[3], early[2]}).ok());
  EXPECT_EQ(*Moments("max_iteration: 1 max_round: 1 limit: 9" + preferred), (V{603, 603, 503}))
      << "nobody has answered";
  Answer(2);
  EXPECT_EQ(*Moments("max_iteration: 1 max_round: 1 limit: 9" + preferred), (V{403, 603, 203}));
  EXPECT_EQ(*Moments("max_iteration: 1 max_round: 0 limit: 9" + preferred), (V{203, 603, 203}));
  EXPECT_EQ(*Moments("max_iteration: 1 max_round: -1 limit: 9" + preferred), (V{603, 603, 503}));
  EXPECT_EQ(Code(Moments("max_iteration: 1 choices {}")), absl::StatusCode::kInvalidArgument);
}

TEST_F(Restarts, AreAsManyAsAreAskedFor) {
  UploadClips(&broker_, run_id_, 0, 1, 7);
  std::string request = "max_iteration: 0 max_round: -1 limit: 7";
  for (int i = 0; i < 150; ++i) absl::StrAppend(&request, " choices { place: ", i, " }");
  const auto moments = Moments(request);
  ASSERT_TRUE(moments.ok()) << moments.status();
  ASSERT_EQ(moments->size(), 150u);
  for (int i = 0; i < 150; ++i) EXPECT_EQ((*moments)[i], 100 * (7 - i % 7) + 3);
}

}  // namespace
}  // namespace backflip::testing
