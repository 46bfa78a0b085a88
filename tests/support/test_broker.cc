#include "tests/support/test_broker.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/client/snapshot_client.h"
#include "tests/support/test_database.h"

namespace backflip::testing {

using preference_broker::Role;

Peer::Peer(rpc::Client c)
    : client(std::move(c)),
      runs(v1::RunService::NewStub(client.channel())),
      clips(v1::ClipService::NewStub(client.channel())),
      labeling(v1::LabelingService::NewStub(client.channel())),
      training(v1::TrainingService::NewStub(client.channel())),
      snapshots(v1::SnapshotService::NewStub(client.channel())),
      bundles(v1::BundleService::NewStub(client.channel())),
      claims(v1::ClaimService::NewStub(client.channel())),
      work(v1::WorkService::NewStub(client.channel())),
      people(v1::PeopleService::NewStub(client.channel())),
      review(v1::ReviewService::NewStub(client.channel())) {}

namespace {

// The same database, as the user that owns it instead of one that only uses it.
std::string AsOwner(const std::string& url) {
  if (!absl::StrContains(url, "&user=backflip_")) return url;
  const std::string& server = TestServer().url();
  return url.substr(0, url.find("&user=")) + server.substr(server.find("&user="));
}

}  // namespace

TestBroker::TestBroker(preference_broker::BrokerOptions options) : options_(std::move(options)) {
  if (options_.database.empty()) options_.database = MigratedDatabase();
  if (options_.listen.empty()) options_.listen = "127.0.0.1:0";
  auto started = preference_broker::Broker::Start(options_);
  if (!started.ok()) {
    ADD_FAILURE() << started.status();
    std::abort();
  }
  broker_ = *std::move(started);
  // the first worker serves every run, as if each had been assigned to it
  (void)Token(Role::kWorker);
  Query(AsOwner(options_.database),
        "CREATE OR REPLACE FUNCTION assign_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO served_runs (caller_id, run_id) "
        "SELECT id, NEW.id FROM callers WHERE name = 'worker'; RETURN NULL; END $$; "
        "CREATE OR REPLACE TRIGGER assign_run AFTER INSERT ON runs FOR EACH ROW "
        "EXECUTE FUNCTION assign_run()");
}

std::string TestBroker::Token(Role role, const std::string& name) {
  const std::string caller = name.empty() ? std::string(preference_broker::RoleName(role)) : name;
  const std::string token = absl::StrCat("a token for tests of ", caller);
  preference_broker::Connection connection(options_.database, "test", nullptr);
  const absl::Status status = preference_broker::RegisterToken(connection, caller, role, token);
  EXPECT_TRUE(status.ok()) << status;
  return token;
}

Peer& TestBroker::As(Role role, const std::string& name) {
  std::unique_ptr<Peer>& peer = peers_[absl::StrCat(preference_broker::RoleName(role), "/", name)];
  if (peer == nullptr) peer = std::make_unique<Peer>(rpc::Client(address(), Token(role, name)));
  return *peer;
}

v1::Run TestBroker::CreateRun(const std::string& spec, bool has_true_reward) {
  const Peer& operator_peer = As(Role::kOperator);
  const std::string bundle = "a bundle";
  EXPECT_TRUE(client::PutBundle(operator_peer.client, bundle).ok());
  v1::CreateRunRequest request;
  request.set_request_id(NewId());
  *request.mutable_spec() = Parse<v1::RunSpec>(spec);
  v1::Quality& quality = *request.mutable_spec()->mutable_quality();
  if (!quality.has_max_fast_answers()) quality.set_max_fast_answers(0);
  *request.mutable_task() = TestTask(base::Sha256Hex(bundle), has_true_reward);
  const auto run = operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::Create, request);
  EXPECT_TRUE(run.ok()) << run.status();
  return run.ok() ? *run : v1::Run();
}

v1::ClaimResponse TestBroker::Claim(Role role) {
  const Peer& peer = As(role);
  v1::ClaimRequest request;
  request.set_claimant(NewId());
  request.set_advertise("127.0.0.1:1");
  const auto claim = peer.Call(peer.claims, &v1::ClaimService::Stub::Claim, request);
  EXPECT_TRUE(claim.ok()) << claim.status();
  EXPECT_TRUE(claim.ok() && claim->has_run());
  return claim.ok() ? *claim : v1::ClaimResponse();
}

void TestBroker::Reach(int64_t run_id, int64_t iteration) {
  // workers may be that much ahead of the batches that are complete
  Query(database(), absl::StrCat("UPDATE runs SET iterations = greatest(iterations, ",
                                 iteration - 4, ") WHERE id = ", run_id));
}

std::vector<std::string> TestBroker::Upload(int64_t run_id, int64_t iteration, int count,
                                            bool has_true_reward) {
  const Peer& worker = As(Role::kWorker);
  Reach(run_id, iteration);
  v1::UploadClipsRequest request;
  request.set_run_id(run_id);
  for (int i = 0; i < count; ++i)
    *request.add_clips() = TestClip(i, iteration, i / 4, i % 4, has_true_reward);
  const auto response = worker.Call(worker.clips, &v1::ClipService::Stub::Upload, request);
  EXPECT_TRUE(response.ok()) << response.status();
  if (!response.ok()) return {};
  return {response->clip_ids().begin(), response->clip_ids().end()};
}

absl::StatusOr<v1::OpenQuestionsResponse> TestBroker::Open(int64_t run_id, int64_t epoch,
                                                           int64_t round,
                                                           const std::vector<std::string>& clips,
                                                           int overlap) {
  const Peer& trainer = As(Role::kTrainer);
  v1::OpenQuestionsRequest request;
  request.set_run_id(run_id);
  request.set_epoch(epoch);
  request.set_round(round);
  request.set_selector("RANDOM");
  for (size_t i = 0; i + 1 < clips.size(); i += 2) {
    v1::NewQuestion* question = request.add_questions();
    question->add_clip_ids(clips[i]);
    question->add_clip_ids(clips[i + 1]);
    question->set_purpose(v1::TRAIN);
    question->set_overlap(overlap);
  }
  return trainer.Call(trainer.training, &v1::TrainingService::Stub::OpenQuestions, request);
}

v1::TaskInfo TestTask(const std::string& bundle_hash, bool has_true_reward) {
  auto task = Parse<v1::TaskInfo>(R"pb(
    name: "test_task"
    fingerprint: "f"
    observation_size: 2
    action_size: 1
    episode_steps: 10
    evaluation_steps: 20
    clip_steps: 3
    metrics: "turns"
    question: "Which is better?"
    step_seconds: 0.01
    playback_fps: 40)pb");
  task.set_bundle_hash(bundle_hash);
  task.set_has_true_reward(has_true_reward);
  return task;
}

v1::Clip TestClip(float value, int64_t iteration, int32_t ticket, int32_t index,
                  bool has_true_reward) {
  v1::Clip clip;
  clip.set_steps(3);
  for (int i = 0; i < 4 * 2; ++i) clip.add_observations(value + 0.25f * i);
  for (int i = 0; i < 3; ++i) clip.add_actions(0.125f * i);
  clip.mutable_poses()->set_bodies(2);
  for (int i = 0; i < 4 * 2 * 7; ++i) clip.mutable_poses()->add_poses(value + i);
  for (int i = 0; i < 4 * 5; ++i) clip.add_states(0.5 * i);
  if (has_true_reward) {
    for (int i = 0; i < 3; ++i) clip.add_true_rewards(value);
  }
  clip.set_policy_version(1);
  clip.set_iteration(iteration);
  clip.set_ticket(ticket);
  clip.set_index(index);
  return clip;
}

std::string NewId() { return base::RandomHex128(); }

}  // namespace backflip::testing
