// A broker that serves the pages, on a database of its own, for the tests in a
// browser. Prints one line of JSON when it is ready, then reads commands, one a
// line, and answers each with one line of JSON; ends with its standard input.
//
//   run PAIRS WIDTH [RunSpec]  a run with PAIRS questions of WIDTH clips each,
//                              over the defaults of the test (protobuf's text
//                              format): {"run": id, "clips": [ids]}
//   open RUN PAIRS             that many further pairs
//   twins RUN                  one further pair, whose clips show the same
//   episode RUN VERSION STEPS  the policy of that version was evaluated and recorded
//   ensemble RUN               two members that expect ever more reward of every
//                              episode, and agree ever less
//   sql STATEMENT              {"value": the first value of its result}
//   stop, start                the broker goes and comes back at the same address
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <numbers>
#include <sstream>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/client/snapshot_client.h"
#include "common/nn/snapshot.h"
#include "common/sim/mujoco/scene.h"
#include "nlohmann/json.hpp"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

ABSL_FLAG(std::string, web, "", "folder of the built pages");
ABSL_FLAG(std::string, listen, "127.0.0.1:0", "address of HTTP");

namespace backflip::testing {
namespace {

using nlohmann::json;
using preference_broker::Role;

constexpr int kSteps = 50;
constexpr char kInstructions[] =
    "Two short films of the same machine play side by side. Pick the one that comes closer to a "
    "backflip.\n\n"
    "A clip that turns further back is better than one that only jumps. Standing still is worst.";

// The hopper of tasks/hopper_backflip, which turns backwards `turns` times as it
// jumps `height` metres: its bodies hang on each other as in the model.
v1::Clip HopperClip(double turns, double height, int64_t iteration, int index, int steps = kSteps) {
  struct Joint {
    double x, z, anchor_x, anchor_z, bend;
  };
  constexpr Joint kJoints[] = {
      {0, -0.2, 0, 0, 1.2}, {0, -0.7, 0, 0.25, -1.6}, {0.13, -0.35, -0.13, 0.1, -0.5}};
  v1::Clip clip;
  clip.set_steps(steps);
  clip.mutable_poses()->set_bodies(4);
  for (int moment = 0; moment <= steps; ++moment) {
    const double s = static_cast<double>(moment) / steps;
    const double tuck = std::pow(std::sin(std::numbers::pi * s), 2);
    double angle = -2 * std::numbers::pi * turns * s, x = -0.6 * s,
           z = 1.25 + height * std::sin(std::numbers::pi * s);
    const auto put = [&] {
      for (const double v : {x, 0.0, z, std::cos(angle / 2), 0.0, std::sin(angle / 2), 0.0}) {
        clip.mutable_poses()->add_poses(static_cast<float>(v));
      }
    };
    put();
    for (const Joint& joint : kJoints) {
      const double px = joint.x + joint.anchor_x, pz = joint.z + joint.anchor_z;
      x += px * std::cos(angle) + pz * std::sin(angle);
      z += pz * std::cos(angle) - px * std::sin(angle);
      angle += joint.bend * tuck;
      x -= joint.anchor_x * std::cos(angle) + joint.anchor_z * std::sin(angle);
      z -= joint.anchor_z * std::cos(angle) - joint.anchor_x * std::sin(angle);
      put();
    }
    clip.add_observations(static_cast<float>(s));
    clip.add_observations(static_cast<float>(index));
    for (int i = 0; i < 5; ++i) clip.add_states(s + index);
  }
  for (int i = 0; i < steps; ++i) clip.add_actions(0);
  clip.set_policy_version(1);
  clip.set_iteration(iteration);
  clip.set_ticket(index / 4);
  clip.set_index(index % 4);
  return clip;
}

// What failed, as the test reads it.
template <typename T>
T Need(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::cerr << result.status() << std::endl;
  std::exit(1);
}

class LabelingStack {
 public:
  LabelingStack() : database_(MigratedDatabase()) {
    listen_ = absl::GetFlag(FLAGS_listen);
    StartBroker();
    listen_ = broker_->broker().http_url().substr(std::string("http://").size());
    const auto task = Need(sim::Task::FromFolder(BACKFLIP_TASKS "/hopper_backflip"));
    const Peer& peer = broker_->As(Role::kOperator);
    v1::PutSceneRequest scene;
    scene.set_glb(Need(sim::SceneGlb(*task)));
    scene_hash_ =
        Need(peer.Call(peer.bundles, &v1::BundleService::Stub::PutScene, scene)).scene_hash();
    if (!client::PutBundle(peer.client, bundle_).ok()) std::exit(1);
  }

  json Ready() {
    return {{"url", broker_->broker().http_url()}, {"operator", broker_->Token(Role::kOperator)}};
  }

  json Do(const std::string& line) {
    std::istringstream words(line);
    std::string command, rest;
    words >> command;
    if (command == "run") {
      int pairs = 0, width = 0;
      words >> pairs >> width;
      std::getline(words, rest);
      return Run(pairs, width, rest);
    }
    if (command == "open") {
      int64_t run = 0;
      int pairs = 0;
      words >> run >> pairs;
      Open(run, pairs, 2);
      return json::object();
    }
    if (command == "twins") {
      int64_t run = 0;
      words >> run;
      std::vector<v1::Clip> clips;
      // what they observe differs, or they were one clip
      for (const int index : {1000, 1001}) clips.push_back(HopperClip(0.6, 0.5, 2, index));
      OpenRound(run, {Upload(run, clips)});
      return json::object();
    }
    if (command == "episode") {
      int64_t run = 0, version = 0;
      int steps = 0;
      words >> run >> version >> steps;
      Record(run, version, steps);
      return json::object();
    }
    if (command == "ensemble") {
      int64_t run = 0;
      words >> run;
      PublishEnsemble(run);
      return json::object();
    }
    if (command == "sql") {
      std::getline(words, rest);
      return {{"value", Query(database_, rest)}};
    }
    if (command == "stop") {
      broker_.reset();
      return json::object();
    }
    if (command == "start") {
      StartBroker();
      return Ready();
    }
    return {{"error", absl::StrCat("there is no command '", command, "'")}};
  }

 private:
  struct RunState {
    int64_t epoch = 0, round = 0;
    std::vector<std::string> clips;
  };

  void StartBroker() {
    preference_broker::BrokerOptions options;
    options.database = database_;
    options.http.listen = listen_;
    options.http.web = absl::GetFlag(FLAGS_web);
    broker_ = std::make_unique<TestBroker>(options);
  }

  json Run(int pairs, int width, const std::string& layer) {
    const Peer& peer = broker_->As(Role::kOperator);
    v1::CreateRunRequest create;
    create.set_request_id(NewId());
    *create.mutable_spec() = Parse<v1::RunSpec>(
        "labels: 900 quality { gold_share: 0 repeat_share: 0 qualification: 0 must_play_once: "
        "false "
        "max_fast_answers: 0 max_cannot_tells: 0 max_one_sided: 0 }");
    create.mutable_spec()->MergeFrom(Parse<v1::RunSpec>(layer));
    if (width > 2) create.mutable_spec()->mutable_queries()->set_clips_per_question(width);
    *create.mutable_task() = TestTask(base::Sha256Hex(bundle_), /*has_true_reward=*/false);
    create.mutable_task()->set_name("hopper_backflip");
    create.mutable_task()->set_clip_steps(kSteps);
    create.mutable_task()->set_episode_steps(300);
    create.mutable_task()->set_evaluation_steps(300);
    create.mutable_task()->set_scene_hash(scene_hash_);
    create.mutable_task()->set_question("Which clip comes closer to a backflip?");
    create.mutable_task()->set_instructions(kInstructions);
    const v1::Run run = Need(peer.Call(peer.runs, &v1::RunService::Stub::Create, create));
    RunState& state = runs_[run.id()];
    // older runs, whose claims have ended, come first
    while (state.epoch == 0) {
      const v1::ClaimResponse claim = broker_->Claim(Role::kTrainer);
      if (!claim.has_run()) std::exit(1);
      runs_[claim.run().id()].epoch = claim.epoch();
    }
    for (int begin = 0; begin < 48; begin += 16) {
      std::vector<v1::Clip> clips;
      for (int i = begin; i < begin + 16; ++i) {
        clips.push_back(HopperClip(0.1 + 0.02 * (i * 29 % 48), 0.05 + 0.01 * (i * 7 % 48), 1, i));
      }
      const std::vector<std::string> ids = Upload(run.id(), clips);
      state.clips.insert(state.clips.end(), ids.begin(), ids.end());
    }
    Open(run.id(), pairs, width);
    return {{"run", run.id()}, {"clips", state.clips}};
  }

  void Record(int64_t run_id, int64_t version, int steps) {
    broker_->Reach(run_id, version);
    v1::ReportEvaluationRequest request;
    request.set_run_id(run_id);
    v1::Evaluation* episode = request.add_episodes();
    episode->set_policy_version(version);
    episode->set_iteration(version);
    (*episode->mutable_metrics())["turns"] = 0.1 * static_cast<double>(version);
    *request.mutable_recording() =
        HopperClip(0.1 * static_cast<double>(version), 0.5, version, 0, steps);
    request.mutable_recording()->set_policy_version(version);
    const Peer& worker = broker_->As(Role::kWorker);
    Need(worker.Call(worker.runs, &v1::RunService::Stub::ReportEvaluation, request));
  }

  void PublishEnsemble(int64_t run_id) {
    nn::Snapshot snapshot;
    snapshot.metadata = {{"kind", "reward"},           {"members", "2"},
                         {"observations", "2"},        {"layers", "3,1"},
                         {"activation", "leaky_relu"}, {"observation_clip", "1000"},
                         {"action_clip", "1"}};
    snapshot.tensors["observation_mean"] = {{2}, {0, 0}};
    snapshot.tensors["observation_std"] = {{2}, {1, 1}};
    snapshot.tensors["member_mean"] = {{2}, {0, 0}};
    snapshot.tensors["member_std"] = {{2}, {1, 1}};
    snapshot.tensors["layer0.weight"] = {{2, 3, 1}, {1, 1, 0, 2, 2, 0}};
    snapshot.tensors["layer0.bias"] = {{2, 1}, {0, 0}};
    v1::SnapshotInfo info;
    info.set_run_id(run_id);
    info.set_kind(v1::REWARD);
    info.set_iteration(1);
    const Peer& trainer = broker_->As(Role::kTrainer);
    Need(client::PublishSnapshot(trainer.client, runs_.at(run_id).epoch, info, snapshot.Encode(),
                                 nullptr));
  }

  std::vector<std::string> Upload(int64_t run_id, const std::vector<v1::Clip>& clips) {
    const Peer& worker = broker_->As(Role::kWorker);
    v1::UploadClipsRequest upload;
    upload.set_run_id(run_id);
    for (const v1::Clip& clip : clips) *upload.add_clips() = clip;
    const auto uploaded = Need(worker.Call(worker.clips, &v1::ClipService::Stub::Upload, upload));
    return {uploaded.clip_ids().begin(), uploaded.clip_ids().end()};
  }

  void Open(int64_t run_id, int pairs, int width) {
    const std::vector<std::string>& clips = runs_.at(run_id).clips;
    while (pairs > 0) {
      std::vector<std::vector<std::string>> questions;
      for (int i = 0; i < 20 && pairs > 0; ++i, --pairs) {
        std::vector<std::string>& question = questions.emplace_back();
        for (int k = 0; k < width; ++k)
          question.push_back(clips[(pairs * 5 + k * 11) % clips.size()]);
      }
      OpenRound(run_id, questions);
    }
  }

  // One question of each list of clips.
  void OpenRound(int64_t run_id, const std::vector<std::vector<std::string>>& questions) {
    RunState& state = runs_.at(run_id);
    const Peer& trainer = broker_->As(Role::kTrainer);
    v1::OpenQuestionsRequest request;
    request.set_run_id(run_id);
    request.set_epoch(state.epoch);
    request.set_round(state.round++);
    request.set_selector("RANDOM");
    for (const std::vector<std::string>& clips : questions) {
      v1::NewQuestion* question = request.add_questions();
      question->set_purpose(v1::TRAIN);
      for (const std::string& clip : clips) question->add_clip_ids(clip);
    }
    Need(trainer.Call(trainer.training, &v1::TrainingService::Stub::OpenQuestions, request));
  }

  const std::string bundle_ = "a bundle";
  const std::string database_;
  std::string listen_, scene_hash_;
  std::unique_ptr<TestBroker> broker_;
  std::map<int64_t, RunState> runs_;
};

}  // namespace
}  // namespace backflip::testing

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  backflip::testing::LabelingStack stack;
  std::cout << stack.Ready().dump() << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << stack.Do(line).dump() << std::endl;
}
