#include "tools/labeling_fill.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"

namespace backflip::tools {
namespace {

constexpr int kSteps = 60;
constexpr int kBodies = 4;
constexpr int kClips = 400;
constexpr int kClipsPerUpload = 40;
constexpr int kQuestionsPerRound = 5000;

v1::Clip MakeClip(int index) {
  v1::Clip clip;
  clip.set_steps(kSteps);
  clip.set_index(index);
  for (int i = 0; i < (kSteps + 1) * 2; ++i) clip.add_observations(std::sin(0.1f * i + index));
  for (int i = 0; i < kSteps; ++i) clip.add_actions(std::cos(0.1f * i + index));
  clip.mutable_poses()->set_bodies(kBodies);
  for (int step = 0; step <= kSteps; ++step) {
    for (int body = 0; body < kBodies; ++body) {
      const float turn = 0.05f * step + body + 0.37f * index;
      for (const float number : {std::sin(turn), 0.f, 1.25f + 0.3f * std::cos(turn),
                                 std::cos(turn / 2), 0.f, std::sin(turn / 2), 0.f}) {
        clip.mutable_poses()->add_poses(number);
      }
    }
  }
  for (int i = 0; i < (kSteps + 1) * 5; ++i) clip.add_states(std::sin(0.01 * i + index));
  for (int i = 0; i < kSteps; ++i) clip.add_true_rewards(std::sin(0.1f * i));
  return clip;
}

absl::StatusOr<v1::Run> CreateRun(const rpc::Client& as_operator) {
  const std::string bundle = "no bundle";
  RETURN_IF_ERROR(client::PutBundle(as_operator, bundle));
  v1::CreateRunRequest create;
  create.set_request_id(base::RandomHex128());
  create.mutable_spec()->set_labels(1'000'000);
  // these labelers answer as no person may
  v1::Quality& quality = *create.mutable_spec()->mutable_quality();
  quality.set_max_fast_answers(0);
  quality.set_max_cannot_tells(0);
  quality.set_max_one_sided(0);
  v1::TaskInfo& task = *create.mutable_task();
  task.set_name("load");
  task.set_bundle_hash(base::Sha256Hex(bundle));
  task.set_fingerprint("load");
  task.set_observation_size(2);
  task.set_action_size(1);
  task.set_episode_steps(300);
  task.set_evaluation_steps(1000);
  task.set_clip_steps(kSteps);
  task.set_has_true_reward(true);
  task.set_question("Which is better?");
  task.set_step_seconds(0.008);
  task.set_playback_fps(40);
  v1::Run run;
  RETURN_IF_ERROR(rpc::FromGrpc(v1::RunService::NewStub(as_operator.channel())
                                    ->Create(as_operator.UnaryContext().get(), create, &run)));
  return run;
}

// Has the broker give the run to the worker, who may write to no other.
absl::Status AssignRun(const rpc::Client& as_learner, const rpc::Client& as_worker) {
  const auto claims = v1::ClaimService::NewStub(as_learner.channel());
  v1::ClaimRequest claim;
  claim.set_claimant(base::RandomHex128());
  claim.set_advertise("127.0.0.1:1");
  v1::ClaimResponse claimed;
  RETURN_IF_ERROR(rpc::FromGrpc(claims->Claim(as_learner.UnaryContext().get(), claim, &claimed)));
  v1::RenewClaimRequest renew;
  renew.set_run_id(claimed.run().id());
  renew.set_epoch(claimed.epoch());
  renew.set_wanted_steps(1);
  v1::RenewClaimResponse renewed;
  RETURN_IF_ERROR(rpc::FromGrpc(claims->Renew(as_learner.UnaryContext().get(), renew, &renewed)));
  v1::AssignWorkRequest assign;
  assign.set_worker(base::RandomHex128());
  assign.set_threads(1);
  v1::Assignment assigned;
  return rpc::FromGrpc(v1::WorkService::NewStub(as_worker.channel())
                           ->AssignWork(as_worker.UnaryContext().get(), assign, &assigned));
}

absl::StatusOr<std::vector<std::string>> UploadClips(const rpc::Client& as_worker, int64_t run_id) {
  std::vector<std::string> clips;
  const auto stub = v1::ClipService::NewStub(as_worker.channel());
  for (int i = 0; i < kClips; i += kClipsPerUpload) {
    v1::UploadClipsRequest upload;
    upload.set_run_id(run_id);
    for (int k = 0; k < kClipsPerUpload; ++k) *upload.add_clips() = MakeClip(i + k);
    v1::UploadClipsResponse uploaded;
    RETURN_IF_ERROR(rpc::FromGrpc(stub->Upload(as_worker.UnaryContext().get(), upload, &uploaded)));
    clips.insert(clips.end(), uploaded.clip_ids().begin(), uploaded.clip_ids().end());
  }
  return clips;
}

absl::Status OpenQuestions(const rpc::Client& as_trainer, int64_t run_id,
                           const std::vector<std::string>& clips, int questions) {
  const auto claims = v1::ClaimService::NewStub(as_trainer.channel());
  const auto training = v1::TrainingService::NewStub(as_trainer.channel());
  v1::ClaimRequest claim;
  claim.set_claimant(base::RandomHex128());
  claim.set_advertise("127.0.0.1:1");
  v1::ClaimResponse claimed;
  RETURN_IF_ERROR(rpc::FromGrpc(claims->Claim(as_trainer.UnaryContext().get(), claim, &claimed)));
  std::mt19937_64 random(1);
  for (int asked = 0, round = 0; asked < questions; ++round) {
    v1::OpenQuestionsRequest open;
    open.set_run_id(run_id);
    open.set_epoch(claimed.epoch());
    open.set_round(round);
    open.set_selector("RANDOM");
    for (int i = 0; i < kQuestionsPerRound && asked < questions; ++i, ++asked) {
      v1::NewQuestion& question = *open.add_questions();
      const size_t first = random() % clips.size();
      question.add_clip_ids(clips[first]);
      question.add_clip_ids(clips[(first + 1 + random() % (clips.size() - 1)) % clips.size()]);
      question.set_purpose(v1::TRAIN);
      // some want more answers than one
      question.set_overlap(asked % 4 == 0 ? 3 : 1);
    }
    v1::OpenQuestionsResponse opened;
    RETURN_IF_ERROR(rpc::FromGrpc(
        training->OpenQuestions(as_trainer.UnaryContext(absl::Seconds(60)).get(), open, &opened)));
    // a claim ends when it is not renewed
    v1::RenewClaimRequest renew;
    renew.set_run_id(run_id);
    renew.set_epoch(claimed.epoch());
    v1::RenewClaimResponse renewed;
    RETURN_IF_ERROR(rpc::FromGrpc(claims->Renew(as_trainer.UnaryContext().get(), renew, &renewed)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FillWithQuestions(const std::string& broker, const std::string& tokens,
                               int questions) {
  const auto client_of = [&](const char* role) -> absl::StatusOr<rpc::Client> {
    ASSIGN_OR_RETURN(std::string token,
                     rpc::ReadTokenFile(absl::StrCat(tokens, "/", role, ".token")));
    return rpc::Client(broker, std::move(token));
  };
  ASSIGN_OR_RETURN(const rpc::Client as_operator, client_of("operator"));
  ASSIGN_OR_RETURN(const rpc::Client as_trainer, client_of("trainer"));
  ASSIGN_OR_RETURN(const rpc::Client as_worker, client_of("worker"));
  ASSIGN_OR_RETURN(const rpc::Client as_learner, client_of("learner"));
  ASSIGN_OR_RETURN(const v1::Run run, CreateRun(as_operator));
  RETURN_IF_ERROR(AssignRun(as_learner, as_worker));
  ASSIGN_OR_RETURN(const std::vector<std::string> clips, UploadClips(as_worker, run.id()));
  RETURN_IF_ERROR(OpenQuestions(as_trainer, run.id(), clips, questions));
  std::printf("%s\n",
              absl::StrCat("{\"run\": ", run.id(), ", \"questions\": ", questions, "}").c_str());
  return absl::OkStatus();
}

}  // namespace backflip::tools
