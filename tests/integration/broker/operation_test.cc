// Who may call, what happens when everything is busy, away or ending.
#include <google/protobuf/descriptor.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/retry.h"
#include "common/rpc/server.h"
#include "services/preference_broker/store/migrate.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using broker::Role;

// The protocol's promise, as the comments in proto/backflip/v1 say it.
const std::map<std::string, std::set<Role>>& Promised() {
  constexpr Role L = Role::kLabeler, T = Role::kTeacher, R = Role::kReviewer, O = Role::kOperator;
  constexpr Role le = Role::kLearner, tr = Role::kTrainer, wo = Role::kWorker;
  static const auto* const promised = new std::map<std::string, std::set<Role>>{
      {"RunService.Create", {O}}, {"RunService.Get", {O, R, le, tr, wo}}, {"RunService.List", {O, R}},
      {"RunService.Watch", {O, R, le, tr, wo}}, {"RunService.Continue", {O}}, {"RunService.Cancel", {O}},
      {"RunService.ListMetrics", {O, R}}, {"RunService.ReportMetrics", {le, tr}},
      {"RunService.ReportEvaluation", {wo}}, {"RunService.ListEvaluations", {O, R}},
      {"RunService.Fork", {O}}, {"RunService.StopAsking", {O}},
      {"ReviewService.Watch", {O, R}}, {"ReviewService.ListLabels", {O, R}}, {"ReviewService.ListDisagreements", {O, R}},
      {"ReviewService.GetClips", {O, R}}, {"ReviewService.GetEpisode", {O, R}}, {"ReviewService.AskAbout", {O, R}},
      {"ReviewService.AddGold", {O, R}}, {"ReviewService.ListGold", {O, R}}, {"ReviewService.RemoveGold", {O, R}},
      {"ReviewService.ExportClips", {O, R}}, {"ReviewService.ImportLabels", {O}},
      {"ClipService.Upload", {wo}}, {"ClipService.ListCandidates", {tr}},
      {"LabelingService.Lease", {L, T}}, {"LabelingService.Heartbeat", {L, T}}, {"LabelingService.Submit", {L, T}},
      {"LabelingService.Undo", {L, T}}, {"LabelingService.Export", {R, O}},
      {"LabelingService.GetSession", {L, T}}, {"LabelingService.GetGuide", {L, T}},
      {"LabelingService.GetScene", {L, T, R, O}},
      {"PeopleService.Invite", {O}}, {"PeopleService.DescribeInvite", {}}, {"PeopleService.AcceptInvite", {}},
      {"PeopleService.SignOut", {L, T, R, O, le, tr, wo}}, {"PeopleService.ListLabelers", {R, O}},
      {"PeopleService.SetLabelerState", {R, O}}, {"PeopleService.ForgetLabeler", {O}},
      {"PeopleService.Statement", {O}}, {"PeopleService.RetractLabels", {O}},
      {"TrainingService.OpenQuestions", {tr}}, {"TrainingService.FollowLabels", {tr}},
      {"TrainingService.ReportReliability", {tr}},
      {"SnapshotService.Publish", {le, tr}}, {"SnapshotService.Get", {le, tr, wo, O, R}},
      {"SnapshotService.Watch", {le, tr, wo, O, R}}, {"SnapshotService.List", {le, tr, wo, O, R}},
      {"SnapshotService.SetBest", {le}}, {"SnapshotService.SaveCheckpoint", {le, tr}},
      {"SnapshotService.LoadCheckpoint", {le, tr}},
      {"BundleService.Put", {O}}, {"BundleService.Get", {wo, O, R}}, {"BundleService.PutScene", {O}},
      {"ClaimService.Claim", {le, tr}}, {"ClaimService.Renew", {le, tr}}, {"ClaimService.Release", {le, tr}},
      {"ClaimService.CompleteBatch", {le}}, {"WorkService.AssignWork", {wo}}};
  return *promised;
}

// Without a token, by callers that have none yet.
const std::set<std::string>& OpenToAnyone() {
  static const auto* const open =
      new std::set<std::string>{"PeopleService.DescribeInvite", "PeopleService.AcceptInvite"};
  return *open;
}

// Calls any method with an empty message and returns its status.
grpc::Status CallEmpty(const rpc::Client& client, const std::string& path) {
  grpc::GenericStub stub(client.channel());
  grpc::CompletionQueue queue;
  const auto context = client.UnaryContext();
  const auto call = stub.PrepareCall(context.get(), path, &queue);
  void* tag;
  bool ok;
  const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
  call->StartCall(nullptr);
  wait();
  const grpc::Slice empty;
  call->WriteLast(grpc::ByteBuffer(&empty, 1), grpc::WriteOptions(), nullptr);
  wait();
  grpc::ByteBuffer response;
  do {
    call->Read(&response, nullptr);
  } while (wait());
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return status;
}

TEST(Roles, EveryMethodIsOpenToItsRolesAlone) {
  TestBroker broker;
  const auto* file_pool = google::protobuf::DescriptorPool::generated_pool();
  int methods = 0;
  for (const char* file : {"run", "clip", "label", "people", "review", "snapshot", "work"}) {
    const auto* descriptor = file_pool->FindFileByName(absl::StrCat("backflip/v1/", file, ".proto"));
    ASSERT_NE(descriptor, nullptr) << file;
    for (int s = 0; s < descriptor->service_count(); ++s) {
      for (int m = 0; m < descriptor->service(s)->method_count(); ++m) {
        const auto* method = descriptor->service(s)->method(m);
        const std::string name = absl::StrCat(descriptor->service(s)->name(), ".", method->name());
        const std::string path = absl::StrCat("/", descriptor->service(s)->full_name(), "/", method->name());
        ASSERT_EQ(Promised().count(name), 1u) << name << " is in no table";
        ++methods;
        if (OpenToAnyone().count(name) > 0) {
          EXPECT_EQ(CallEmpty(rpc::Client(broker.address(), ""), path).error_code(), grpc::StatusCode::INVALID_ARGUMENT)
              << name;
          continue;
        }
        for (const Role role : broker::kAllRoles) {
          // whose token is no good afterwards
          const std::string leaver = name == "PeopleService.SignOut" ? absl::StrCat("leaving ", broker::RoleName(role)) : "";
          const grpc::Status status = CallEmpty(broker.As(role, leaver).client, path);
          const bool denied = status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
          EXPECT_EQ(denied, Promised().at(name).count(role) == 0)
              << name << " as " << broker::RoleName(role) << ": " << status.error_message();
          EXPECT_NE(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << name;
        }
        EXPECT_EQ(CallEmpty(rpc::Client(broker.address(), ""), path).error_code(), grpc::StatusCode::UNAUTHENTICATED);
        EXPECT_EQ(CallEmpty(rpc::Client(broker.address(), "a guess"), path).error_code(),
                  grpc::StatusCode::UNAUTHENTICATED);
      }
    }
  }
  EXPECT_EQ(methods, static_cast<int>(Promised().size()));
}

TEST(Roles, ARevokedTokenIsRefusedWithinSeconds) {
  TestBroker broker;
  const Peer& labeler = broker.As(Role::kLabeler);
  const auto beat = [&] {
    return labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Heartbeat, v1::HeartbeatRequest()).status();
  };
  ASSERT_TRUE(beat().ok());
  Query(broker.database(), "UPDATE tokens SET revoked_at = now()");
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (beat().ok() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_TRUE(absl::IsUnauthenticated(beat())) << beat();
}

TEST(Operation, AFullPoolSaysSoAndHealthStillAnswers) {
  broker::BrokerOptions options;
  options.connections = 1;
  options.queued_calls = 2;
  TestBroker broker(options);
  const v1::Run run = broker.CreateRun();
  v1::GetRunRequest get;
  get.set_run_id(run.id());
  Peer& peer = broker.As(Role::kOperator);
  // the only connection waits for a row that we hold
  pqxx::connection blocker(broker.database());
  pqxx::work lock(blocker);
  lock.exec("SELECT * FROM runs FOR UPDATE");
  std::vector<std::thread> callers;
  std::atomic<int> refused{0}, answered{0};
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&] {
      v1::CancelRunRequest cancel;
      cancel.set_run_id(run.id());
      const auto result = peer.Call(peer.runs, &v1::RunService::Stub::Cancel, cancel);
      if (result.ok()) ++answered;
      if (absl::IsResourceExhausted(result.status())) ++refused;
    });
  }
  // 1 works and 2 wait; housekeeping takes a place too
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  while (refused < 9 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_GE(refused, 9);
  EXPECT_TRUE(rpc::WaitHealthy(broker.address(), absl::Seconds(2)).ok());
  lock.abort();
  for (std::thread& caller : callers) caller.join();
  EXPECT_GE(answered, 1);
  EXPECT_EQ(answered + refused, 12);
}

TEST(Operation, WaitsHoldNoThreads) {
  broker::BrokerOptions options;
  options.connections = 1;
  TestBroker broker(options);
  const v1::Run run = broker.CreateRun();
  Peer& peer = broker.As(Role::kOperator);
  std::vector<std::thread> watchers;
  std::atomic<int> woken{0};
  for (int i = 0; i < 20; ++i) {
    watchers.emplace_back([&] {
      v1::WatchRunRequest watch;
      watch.set_run_id(run.id());
      watch.set_since_revision(run.revision());
      watch.set_wait_ms(20'000);
      const auto seen = peer.Call(peer.runs, &v1::RunService::Stub::Watch, watch);
      ASSERT_TRUE(seen.ok()) << seen.status();
      woken += seen->state() == v1::CANCELLED;
    });
  }
  v1::CancelRunRequest cancel;
  cancel.set_run_id(run.id());
  ASSERT_TRUE(peer.Call(peer.runs, &v1::RunService::Stub::Cancel, cancel).ok());
  for (std::thread& watcher : watchers) watcher.join();
  EXPECT_EQ(woken, 20);
}

TEST(Operation, DrainAnswersLongPollsAndEndsStreams) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun();
  Peer& peer = broker.As(Role::kTrainer);
  absl::StatusOr<v1::Run> watched;
  std::thread watcher([&] {
    v1::WatchRunRequest watch;
    watch.set_run_id(run.id());
    watch.set_since_revision(run.revision());
    watch.set_wait_ms(20'000);
    watched = peer.Call(peer.runs, &v1::RunService::Stub::Watch, watch);
  });
  const auto context = peer.client.StreamContext();
  v1::FollowLabelsRequest follow;
  follow.set_run_id(run.id());
  follow.set_from_position(1);
  const auto feed = peer.training->FollowLabels(context.get(), follow);
  v1::LabelFeedMessage message;
  ASSERT_TRUE(feed->Read(&message));
  EXPECT_TRUE(message.has_caught_up());
  // a unary call behind it on the channel: the watcher's is likely there too
  absl::SleepFor(absl::Milliseconds(200));
  const absl::Time begin = absl::Now();
  broker.broker().Drain(absl::Seconds(10));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  watcher.join();
  EXPECT_TRUE(watched.ok()) << watched.status();
  EXPECT_FALSE(feed->Read(&message));
  EXPECT_EQ(feed->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(Operation, ComesBackWhenPostgresqlRestarts) {
  TestBroker broker;
  const v1::Run run = broker.CreateRun();
  Peer& peer = broker.As(Role::kOperator);
  v1::GetRunRequest get;
  get.set_run_id(run.id());
  const auto call = [&] { return peer.Call(peer.runs, &v1::RunService::Stub::Get, get).status(); };
  ASSERT_TRUE(call().ok());
  ASSERT_TRUE(TestServer().Stop().ok());
  for (int i = 0; i < 8; ++i) {
    const absl::Status away = call();
    EXPECT_TRUE(absl::IsUnavailable(away)) << away;
  }
  EXPECT_TRUE(rpc::WaitHealthy(broker.address(), absl::Seconds(2)).ok());
  ASSERT_TRUE(TestServer().Restart().ok());
  base::RetryPolicy policy;
  policy.give_up_after = absl::Seconds(20);
  const absl::Status back = base::Retry(policy, nullptr, call);
  EXPECT_TRUE(back.ok()) << back;
}

TEST(Migrate, IsIdempotentAndSafeTwiceAtOnce) {
  const std::string database = EmptyDatabase();
  {
    broker::Connection connection(database, "test", nullptr);
    EXPECT_EQ(broker::CheckSchema(connection).code(), absl::StatusCode::kFailedPrecondition);
    broker::BrokerOptions options;
    options.database = database;
    options.listen = "127.0.0.1:0";
    EXPECT_EQ(broker::Broker::Start(options).status().code(), absl::StatusCode::kFailedPrecondition);
  }
  std::atomic<int> applied{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      broker::Connection connection(database, "test", nullptr);
      const auto result = broker::Migrate(connection);
      ASSERT_TRUE(result.ok()) << result.status();
      applied += *result;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(applied, static_cast<int>(broker::AllMigrations().size()));
  broker::Connection connection(database, "test", nullptr);
  EXPECT_EQ(*broker::Migrate(connection), 0);
  EXPECT_TRUE(broker::CheckSchema(connection).ok());
}

TEST(Migrate, RefusesADatabaseThatIsNewerOrAnother) {
  const std::string database = MigratedDatabase();
  broker::Connection connection(database, "test", nullptr);
  Query(database, "UPDATE schema_migrations SET sha256 = sha256('x')");
  EXPECT_EQ(broker::Migrate(connection).status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string newer = MigratedDatabase();
  broker::Connection newer_connection(newer, "test", nullptr);
  Query(newer, "INSERT INTO schema_migrations (version, name, sha256) VALUES (999, 'later', sha256('x'))");
  EXPECT_EQ(broker::Migrate(newer_connection).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(broker::CheckSchema(newer_connection).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Migrate, IndexesEveryForeignKey) {
  const std::string missing = Query(MigratedDatabase(), R"sql(
    SELECT string_agg(c.conrelid::regclass || '.' || c.conname, ', ') FROM pg_constraint c
    WHERE c.contype = 'f' AND NOT EXISTS (
      SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND (i.indpred IS NULL
          OR pg_get_expr(i.indpred, i.indrelid) IN (SELECT '(' || a.attname || ' IS NOT NULL)' FROM pg_attribute a
            WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)))
        AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey))sql");
  EXPECT_EQ(missing, "");
}

TEST(Tokens, AreMadeOnceForEachRoleAndKeptPrivate) {
  const std::string database = MigratedDatabase();
  broker::Connection connection(database, "test", nullptr);
  const std::string folder = absl::StrCat(::testing::TempDir(), "/tokens", NewId());
  ASSERT_TRUE(broker::MakeTokenFiles(connection, folder).ok());
  const auto read = [&](const std::string& role) {
    std::ifstream file(folder + "/" + role + ".token");
    std::string token;
    file >> token;
    return token;
  };
  const std::string token = read("teacher");
  EXPECT_GE(token.size(), 32u);
  EXPECT_NE(token, read("operator"));
  struct stat info;
  ASSERT_EQ(stat((folder + "/teacher.token").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_TRUE(broker::MakeTokenFiles(connection, folder).ok());
  EXPECT_EQ(read("teacher"), token);
  const auto caller = broker::CallerOfToken(connection, token);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->role, Role::kTeacher);
  // the token itself is nowhere in the database
  EXPECT_EQ(Query(database, absl::StrCat("SELECT count(*) FROM tokens WHERE sha256 = sha256('", token, "')")), "1");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace backflip::testing
