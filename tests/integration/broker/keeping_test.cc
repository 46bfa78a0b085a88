// What keeps a broker in order: tokens, the audit, lists of any length, and what is deleted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "backflip/v1/operation.grpc.pb.h"
#include "common/client/broker_client.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::Contains;
using ::testing::HasSubstr;
using Operation = v1::OperationService::Stub;
using Runs = v1::RunService::Stub;

class Keeping : public ::testing::Test {
 protected:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Operation::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                                const Request& request) {
    return operator_.Call(operation_, method, request);
  }
  absl::StatusOr<v1::CreateTokenResponse> Create(const std::string& name, v1::Role role,
                                                 int64_t expires_ms = 0,
                                                 const std::string& id = NewId()) {
    v1::CreateTokenRequest request;
    request.set_request_id(id);
    request.set_name(name);
    request.set_role(role);
    request.set_expires_ms(expires_ms);
    return Call(&Operation::CreateToken, request);
  }
  std::vector<v1::Token> Tokens(bool all = false) {
    v1::ListTokensRequest request;
    request.set_all(all);
    const auto response = Call(&Operation::ListTokens, request);
    EXPECT_TRUE(response.ok()) << response.status();
    return {response->tokens().begin(), response->tokens().end()};
  }
  // What a call with this token meets.
  absl::Status Try(const std::string& secret) {
    const Peer peer(rpc::Client(broker_.address(), secret));
    v1::AssignWorkRequest request;
    request.set_worker("a worker");
    request.set_threads(1);
    return peer.Call(peer.work, &v1::WorkService::Stub::AssignWork, request).status();
  }
  std::vector<std::string> Actions(const v1::ListAuditRequest& request = {}) {
    const auto response = Call(&Operation::ListAudit, request);
    EXPECT_TRUE(response.ok()) << response.status();
    std::vector<std::string> actions;
    for (const v1::AuditEntry& entry : response->entries())
      actions.push_back(absl::StrCat(entry.name(), " ", entry.action()));
    return actions;
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }

  TestBroker broker_;
  Peer& operator_ = broker_.As(Role::kOperator);
  const std::unique_ptr<Operation> operation_ =
      v1::OperationService::NewStub(operator_.client.channel());
};

TEST_F(Keeping, ATokenIsMadeListedRotatedAndRevoked) {
  broker_.CreateRun();
  const std::string id = NewId();
  const auto lost = Create("host 7", v1::ROLE_WORKER, 0, id);
  ASSERT_TRUE(lost.ok()) << lost.status();
  // the answer was lost, and is asked for again
  const auto made = Create("host 7", v1::ROLE_WORKER, 0, id);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->token().id(), lost->token().id());
  EXPECT_TRUE(absl::IsUnauthenticated(Try(lost->secret())));
  EXPECT_TRUE(Try(made->secret()).ok());
  const auto find = [&](int64_t token) {
    for (const v1::Token& one : Tokens(/*all=*/true)) {
      if (one.id() == token) return one;
    }
    return v1::Token();
  };
  const v1::Token listed = find(made->token().id());
  EXPECT_EQ(listed.name(), "host 7");
  EXPECT_EQ(listed.role(), v1::ROLE_WORKER);
  EXPECT_GT(listed.last_used_ms(), 0);
  EXPECT_EQ(Code(Create("host 7", v1::ROLE_LEARNER)), absl::StatusCode::kAlreadyExists);

  v1::RotateTokenRequest rotate;
  rotate.set_request_id(NewId());
  rotate.set_token_id(listed.id());
  const auto rotated = Call(&Operation::RotateToken, rotate);
  ASSERT_TRUE(rotated.ok()) << rotated.status();
  EXPECT_TRUE(absl::IsUnauthenticated(Try(made->secret())));
  EXPECT_TRUE(Try(rotated->secret()).ok());
  EXPECT_GT(find(listed.id()).revoked_ms(), 0);
  rotate.set_request_id(NewId());
  EXPECT_EQ(Code(Call(&Operation::RotateToken, rotate)), absl::StatusCode::kFailedPrecondition);

  v1::RevokeTokenRequest revoke;
  revoke.set_token_id(rotated->token().id());
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Call(&Operation::RevokeToken, revoke).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Try(rotated->secret())));
  for (const v1::Token& token : Tokens()) EXPECT_NE(token.name(), "host 7");
  revoke.set_token_id(1 << 30);
  EXPECT_EQ(Code(Call(&Operation::RevokeToken, revoke)), absl::StatusCode::kNotFound);
  const std::vector<std::string> actions = Actions();
  for (const char* action : {"make token", "rotate token", "revoke token"})
    EXPECT_THAT(actions, Contains(absl::StrCat("operator ", action)));
}

TEST_F(Keeping, ATokenEndsWhenItExpires) {
  broker_.CreateRun();
  const auto made =
      Create("host", v1::ROLE_WORKER, absl::ToUnixMillis(absl::Now() + absl::Hours(1)));
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_TRUE(Try(made->secret()).ok());
  Sql("UPDATE tokens SET expires_at = now() WHERE expires_at IS NOT NULL");
  EXPECT_TRUE(Await([&] { return !Try(made->secret()).ok(); }));
  const absl::Status expired = Try(made->secret());
  EXPECT_TRUE(absl::IsUnauthenticated(expired)) << expired;
}

TEST_F(Keeping, ANewTokenFileTakesThePlaceOfTheOneBefore) {
  broker_.CreateRun();
  const std::string folder = absl::StrCat(::testing::TempDir(), "/tokens", NewId());
  const std::string path = folder + "/worker.token";
  preference_broker::Connection connection(broker_.database(), "test", nullptr);
  const auto make = [&] {
    const absl::Status status = preference_broker::MakeTokenFiles(connection, folder);
    EXPECT_TRUE(status.ok()) << status;
    std::ifstream file(path);
    std::string token;
    file >> token;
    return token;
  };
  const std::string first = make();
  EXPECT_TRUE(Try(first).ok());
  std::filesystem::remove(path);
  const std::string second = make();
  EXPECT_NE(second, first);
  EXPECT_TRUE(Try(second).ok());
  // not asked before, so that no memory of it is left
  EXPECT_TRUE(
      absl::IsUnauthenticated(preference_broker::CallerOfToken(connection, first).status()));
  // a file whose token was revoked does not keep a stack from starting
  Sql("UPDATE tokens SET revoked_at = now() WHERE origin LIKE '%worker.token'");
  const std::string third = make();
  EXPECT_NE(third, second);
  EXPECT_TRUE(Try(third).ok());
  std::filesystem::remove_all(folder);
}

TEST_F(Keeping, TheAuditCannotBeRewrittenAndIsReadByPage) {
  const int64_t run = broker_.CreateRun().id();
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run);
  ASSERT_TRUE(operator_.Call(operator_.runs, &Runs::Cancel, cancel).ok());
  const Peer& reviewer = broker_.As(Role::kReviewer, "leaving");
  ASSERT_TRUE(
      reviewer.Call(reviewer.people, &v1::PeopleService::Stub::SignOut, v1::SignOutRequest()).ok());
  v1::ListAuditRequest request;
  request.set_limit(1);
  const auto newest = Call(&Operation::ListAudit, request);
  ASSERT_EQ(newest->entries_size(), 1);
  EXPECT_TRUE(newest->more());
  EXPECT_EQ(newest->entries(0).action(), "sign out");
  EXPECT_EQ(newest->entries(0).role(), "reviewer");
  request.set_before_id(newest->entries(0).id());
  EXPECT_EQ(Call(&Operation::ListAudit, request)->entries(0).action(), "cancel run");
  v1::ListAuditRequest of_run;
  of_run.set_run_id(run);
  EXPECT_EQ(Actions(of_run),
            (std::vector<std::string>{"operator cancel run", "operator create run"}));
  EXPECT_ANY_THROW(Sql("UPDATE audit SET detail = ''"));
  EXPECT_ANY_THROW(Sql("DELETE FROM audit"));
  EXPECT_ANY_THROW(Sql("TRUNCATE audit"));
  EXPECT_ANY_THROW(Sql("TRUNCATE labels CASCADE"));
}

class Deletion : public Keeping {
 protected:
  // A run with two answered questions, one of them by a check, and all that runs have.
  v1::Run LabeledRun() {
    const v1::Run run = broker_.CreateRun("labels: 1000");
    const v1::ClaimResponse learner = broker_.Claim(Role::kLearner);
    const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
    const std::vector<std::string> clips = broker_.Upload(run.id(), 0, 6);
    EXPECT_TRUE(
        broker_.Open(run.id(), trainer.epoch(), 0, {clips.begin(), clips.begin() + 4}).ok());
    const Peer& labeler = broker_.As(Role::kLabeler);
    for (int i = 0; i < 2; ++i) {
      const auto leased =
          labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
      EXPECT_EQ(leased->questions_size(), 1);
      v1::SubmitRequest answer = AnswerTo(leased->questions(0).lease_id(), v1::LEFT);
      const auto label = Submit(labeler, answer);
      EXPECT_TRUE(label.ok()) << label.status();
      answer = AnswerTo(answer.lease_id(), v1::RIGHT);
      answer.set_supersedes(label->label_id());
      EXPECT_TRUE(Submit(labeler, answer).ok());
    }
    Sql(absl::StrCat(
        "INSERT INTO gold_pairs (run_id, first_clip, second_clip, answer, use) "
        "SELECT run_id, min(id), min(id) + 1, 'LEFT', 'SHOW' FROM clips WHERE run_id = ",
        run.id(), " GROUP BY run_id"));
    for (const char* role : {"learner", "trainer"}) {
      for (const int iteration : {9, 19}) {
        Sql(absl::StrCat("INSERT INTO checkpoints (run_id, role, iteration, info, data) VALUES (",
                         run.id(), ", '", role, "', ", iteration, ", '', 'bytes')"));
      }
    }
    for (int version = 1; version <= 4; ++version) {
      Sql(
          absl::StrCat("INSERT INTO snapshots (run_id, kind, version, iteration, steps, labels, "
                       "sha256, kept, data) VALUES (",
                       run.id(), ", 'POLICY', ", version, ", 1, 1, 1, sha256('a'), ",
                       version == 1 ? "true" : "false", ", 'bytes')"));
    }
    Sql(
        absl::StrCat("INSERT INTO metric_points (run_id, name, iteration, steps, labels, value) "
                     "SELECT ",
                     run.id(), ", 'turns', i, 1, 1, 1 FROM generate_series(0, 2999) i"));
    return run;
  }
  void End(int64_t run, int days) {
    Sql(absl::StrCat("UPDATE runs SET state = 'FINISHED', best_version = 2, finished_at = now() - ",
                     days, " * interval '1 day' WHERE id = ", run));
  }
  absl::StatusOr<v1::DeleteRunResponse> Delete(int64_t run, bool with_labels,
                                               const std::string& id = NewId()) {
    v1::DeleteRunRequest request;
    request.set_request_id(id);
    request.set_run_id(run);
    request.set_with_labels(with_labels);
    return Call(&Operation::DeleteRun, request);
  }
  // Rows of every table that say of a run that they are its.
  std::string RowsOf(int64_t run) {
    const std::string count =
        Sql("SELECT string_agg(format('SELECT count(*) AS n FROM %I WHERE %I = $run', table_name, "
            "column_name), ' UNION ALL ') FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name = 'run_id' AND table_name <> 'audit' "
            "AND table_name <> 'standing_labels'");
    return Sql(absl::StrCat("SELECT sum(n) FROM (",
                            absl::StrReplaceAll(count, {{"$run", absl::StrCat(run)}}), ") rows"));
  }
  std::string All() {
    return Sql(
        "SELECT (SELECT count(*) FROM clips) || ' clips, ' || (SELECT count(*) FROM labels) "
        "|| ' labels, ' || (SELECT count(*) FROM checkpoints) || ' checkpoints, ' || "
        "(SELECT count(*) FROM snapshots) || ' snapshots, ' || "
        "(SELECT count(*) FROM metric_points) || ' points'");
  }
};

TEST_F(Deletion, ARunGoesWithAllThatIsItsAndNothingElse) {
  const int64_t kept = LabeledRun().id();
  End(kept, 0);
  const std::string all = All();
  const v1::Run run = LabeledRun();
  EXPECT_THAT(Message(Delete(run.id(), true)), HasSubstr("cancel it first"));
  End(run.id(), 0);
  EXPECT_THAT(Message(Delete(run.id(), false)), HasSubstr("has 2 labels"));
  Sql(absl::StrCat("UPDATE runs SET forked_from_run = ", run.id(), " WHERE id = ", kept));
  EXPECT_THAT(Message(Delete(run.id(), true)), HasSubstr(absl::StrCat("forked into ", kept)));
  Sql("UPDATE runs SET forked_from_run = NULL");
  const std::string id = NewId();
  const auto deleted = Delete(run.id(), true, id);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted(0).what(), "labels");
  EXPECT_EQ(deleted->deleted(0).rows(), 4);
  EXPECT_EQ(Delete(run.id(), true, id)->SerializeAsString(), deleted->SerializeAsString());
  EXPECT_EQ(Code(Delete(run.id(), true)), absl::StatusCode::kNotFound);
  EXPECT_EQ(RowsOf(run.id()), "0");
  EXPECT_EQ(All(), all);
  v1::ListAuditRequest of_run;
  of_run.set_run_id(run.id());
  EXPECT_EQ(Actions(of_run)[0], "operator delete run");
  EXPECT_ANY_THROW(Sql("DELETE FROM labels"));
}

TEST_F(Deletion, GarbageIsWhatNothingNeedsAndADryRunOnlySaysSo) {
  const int64_t ended = LabeledRun().id();
  End(ended, 31);
  const int64_t lately = LabeledRun().id();
  End(lately, 29);
  const int64_t running = LabeledRun().id();
  Sql("INSERT INTO bundles (sha256, size, created_at) "
      "VALUES (sha256('unused'), 1, now() - interval '31 days')");
  ASSERT_TRUE(Create("old host", v1::ROLE_WORKER).ok());
  Sql("UPDATE tokens SET revoked_at = now() - interval '31 days' WHERE origin = 'operator'");
  const std::string before = All();
  v1::CollectGarbageRequest request;
  request.set_dry_run(true);
  const auto said = Call(&Operation::CollectGarbage, request);
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(All(), before);
  request.set_dry_run(false);
  const auto done = Call(&Operation::CollectGarbage, request);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->SerializeAsString(), said->SerializeAsString());
  // of each run 2 of 6 clips were never asked about; the newest of two checkpoints stays, and of
  // four policies the one that is kept, the best and the newest
  EXPECT_EQ(All(), "16 clips, 12 labels, 10 checkpoints, 11 snapshots, 7000 points");
  EXPECT_EQ(Sql("SELECT count(*) FROM bundles"), "1");
  EXPECT_EQ(Sql("SELECT count(*) FROM tokens WHERE origin = 'operator'"), "0");
  EXPECT_EQ(Sql(absl::StrCat("SELECT max(iteration) FROM metric_points WHERE run_id = ", ended)),
            "2999");
  EXPECT_EQ(RowsOf(running), RowsOf(lately));
  // twice finds nothing more
  const auto again = Call(&Operation::CollectGarbage, request);
  for (const v1::Deleted& deleted : again->deleted())
    EXPECT_EQ(deleted.rows(), 0) << deleted.what();
  EXPECT_THAT(Actions(), Contains("operator collect garbage"));
}

TEST_F(Keeping, ListsOfAnyLengthComeInPages) {
  const int64_t run = broker_.CreateRun().id();
  Sql(
      absl::StrCat("INSERT INTO metric_points (run_id, name, iteration, steps, labels, value) "
                   "SELECT ",
                   run,
                   ", name, i, 1, 1, i FROM generate_series(1, 30000) i, "
                   "unnest(ARRAY['policy/loss', 'reward/loss', 'true_return']) AS name"));
  v1::Evaluation evaluation;
  for (int i = 0; i < 60; ++i)
    (*evaluation.mutable_metrics())[absl::StrCat("a metric of the task that is number ", i)] = i;
  Sql(absl::StrCat(
      "INSERT INTO evaluations (run_id, policy_version, final, episode, evaluation) "
      "SELECT ",
      run, ", 1, false, i, '\\x", absl::BytesToHexString(evaluation.SerializeAsString()),
      "' FROM generate_series(1, 2500) i"));
  const client::BrokerClient client(operator_.client, nullptr);
  const auto points = client.Metrics(run);
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_EQ(points->size(), 90'000u);
  std::set<std::pair<int64_t, std::string>> distinct;
  for (const v1::MetricPoint& point : *points) distinct.emplace(point.iteration(), point.name());
  EXPECT_EQ(distinct.size(), 90'000u);
  const auto episodes = client.Evaluations(run);
  ASSERT_TRUE(episodes.ok()) << episodes.status();
  EXPECT_EQ(episodes->size(), 2500u);
  const auto runs = client.List(1000);
  ASSERT_TRUE(runs.ok()) << runs.status();
  EXPECT_EQ(runs->size(), 1u);
  v1::ListEvaluationsRequest request;
  request.set_run_id(run);
  request.set_page("the second");
  EXPECT_EQ(Code(operator_.Call(operator_.runs, &Runs::ListEvaluations, request)),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace backflip::testing
