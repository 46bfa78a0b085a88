#include <chrono>
#include <cmath>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/experience/answers.h"
#include "common/nn/reward.h"
#include "common/rpc/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labels/export.h"
#include "services/preference_broker/store/labels/import.h"
#include "services/preference_broker/store/review/review.h"
#include "services/preference_broker/store/review/review_clips.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {
namespace {

constexpr int64_t kMostDrawnClips = 16;
constexpr int64_t kMostExportedIds = 1000;
constexpr size_t kClipsPerPage = 16;
constexpr size_t kMostImportedBytes = size_t{512} << 20;
constexpr size_t kMostImportedLabels = 100'000;
// Age at which a dashboard is read again: of a run that has changed (a busy one changes with
// every answer), and of one that has not.
constexpr std::chrono::seconds kBusyAge{1};
constexpr std::chrono::seconds kQuietAge{5};
// Least time between two reads, as a multiple of the last read's duration: with a hundred
// thousand labels that is a second.
constexpr int kRest = 10;

// Dashboards that were read recently. Thread-safe.
class Dashboards {
 public:
  // nullptr: there is none, or it is older than `age` and may be read again.
  std::shared_ptr<const v1::Dashboard> Find(int64_t run_id, Hub::Clock::duration age) {
    base::MutexLock lock(&mutex_);
    const auto kept = kept_.find(run_id);
    if (kept == kept_.end()) return nullptr;
    const Hub::Clock::time_point now = Hub::Clock::now();
    const bool old = now - kept->second.read > age && now > kept->second.rests_until;
    return old ? nullptr : kept->second.dashboard;
  }

  // `took`: the time that reading it took.
  void Keep(int64_t run_id, std::shared_ptr<const v1::Dashboard> dashboard,
            Hub::Clock::duration took) {
    base::MutexLock lock(&mutex_);
    const Hub::Clock::time_point now = Hub::Clock::now();
    // drop those of runs that nobody watches any more
    for (auto kept = kept_.begin(); kept != kept_.end();) {
      const bool old = now - kept->second.read > kQuietAge && now > kept->second.rests_until;
      kept = old ? kept_.erase(kept) : std::next(kept);
    }
    kept_[run_id] = {now, now + kRest * took, std::move(dashboard)};
  }

 private:
  struct Kept {
    Hub::Clock::time_point read;
    Hub::Clock::time_point rests_until;
    std::shared_ptr<const v1::Dashboard> dashboard;
  };
  base::Mutex mutex_;
  std::unordered_map<int64_t, Kept> kept_ ABSL_GUARDED_BY(mutex_);
};

// One call's labels and clips, collected before any is stored.
struct Import {
  int64_t run_id = 0;
  size_t bytes = 0;
  std::vector<v1::Candidate> clips;
  std::vector<v1::ImportedLabel> labels;

  absl::Status Take(v1::ImportLabelsRequest& request) {
    if (run_id == 0) run_id = request.run_id();
    if (request.run_id() != run_id) {
      return absl::InvalidArgumentError(absl::StrCat("run_id is ", request.run_id(), " after ",
                                                     run_id, ": one call is for one run"));
    }
    bytes += request.ByteSizeLong();
    if (bytes > kMostImportedBytes || labels.size() >= kMostImportedLabels) {
      return absl::InvalidArgumentError(
          absl::StrCat("one import has at most ", kMostImportedBytes >> 20, " MB and ",
                       kMostImportedLabels, " labels: divide it, its labels are known"));
    }
    if (request.has_label()) {
      labels.push_back(std::move(*request.mutable_label()));
    } else if (!request.has_clip()) {
      return absl::InvalidArgumentError("a message has neither a clip nor a label");
    } else if (!labels.empty()) {
      return absl::InvalidArgumentError("a clip came after a label: all clips come first");
    } else {
      clips.push_back(std::move(*request.mutable_clip()));
    }
    return absl::OkStatus();
  }

  // `task`: without its true reward, which is not imported.
  absl::Status Check(const v1::TaskInfo& task) const {
    std::set<std::string> named, sources;
    for (size_t i = 0; i < labels.size(); ++i) {
      const v1::ImportedLabel& label = labels[i];
      const std::string name = absl::StrCat("labels[", i, "]");
      RETURN_IF_ERROR(CheckRange(absl::StrCat("the number of clip_ids of ", name),
                                 label.clip_ids_size(), 2, rpc::kMaxQuestionClips));
      for (const std::string& id : label.clip_ids()) {
        RETURN_IF_ERROR(CheckClipId(absl::StrCat(name, ".clip_ids"), id));
        named.insert(id);
      }
      RETURN_IF_ERROR(experience::CheckAnswer(absl::StrCat(name, ".answer"), label.answer(),
                                              label.clip_ids_size()));
      RETURN_IF_ERROR(CheckPseudonym(absl::StrCat(name, ".labeler"), label.labeler()));
      RETURN_IF_ERROR(CheckRequestId(absl::StrCat(name, ".source_key"), label.source_key()));
      if (!sources.insert(label.source_key()).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ".source_key '", label.source_key(),
                         "' came before: it tells each label from the others"));
      }
      RETURN_IF_ERROR(
          CheckRange(absl::StrCat(name, ".answered_ms"), label.answered_ms(), 0, kMaxMillis - 1));
      RETURN_IF_ERROR(CheckTiming(absl::StrCat(name, ".timing"), label.timing()));
    }
    for (size_t i = 0; i < clips.size(); ++i) {
      const std::string name = absl::StrCat("clips[", i, "]");
      RETURN_IF_ERROR(CheckClipId(absl::StrCat(name, ".clip_id"), clips[i].clip_id()));
      RETURN_IF_ERROR(CheckClip(name, clips[i].clip(), task));
      if (named.count(clips[i].clip_id()) == 0) {
        return absl::InvalidArgumentError(absl::StrCat(name, " is named by no label of the call"));
      }
    }
    return absl::OkStatus();
  }
};

// Each step's reward under an ensemble, and its deviation over the members.
absl::Status AddPrediction(const std::string& snapshot_bytes, const v1::Clip& recording,
                           v1::Episode* episode) {
  ASSIGN_OR_RETURN(const nn::Snapshot snapshot, nn::Snapshot::Decode(snapshot_bytes));
  ASSIGN_OR_RETURN(const nn::RewardModel model, nn::RewardModel::FromSnapshot(snapshot));
  const int64_t steps = recording.steps();
  if (recording.observations_size() != (steps + 1) * model.observation_size() ||
      recording.actions_size() != steps * model.action_size()) {
    return absl::DataLossError(
        "the newest ensemble is one of another task than the recorded episode");
  }
  std::vector<float> rewards(steps), by_member(steps * model.members());
  model.Score(recording.observations().data(), recording.actions().data(), steps, rewards.data(),
              by_member.data());
  for (int64_t step = 0; step < steps; ++step) {
    double squares = 0;
    for (int member = 0; member < model.members(); ++member) {
      const double distance = by_member[member * steps + step] - rewards[step];
      squares += distance * distance;
    }
    episode->add_predicted_reward(rewards[step]);
    episode->add_deviation(static_cast<float>(std::sqrt(squares / model.members())));
  }
  return absl::OkStatus();
}

class ReviewServiceImpl final : public v1::ReviewService::CallbackService {
 public:
  ReviewServiceImpl(CallContext calls, FeedNumberer* numberer)
      : calls_(calls), numberer_(numberer) {}

  grpc::ServerUnaryReactor* Watch(grpc::CallbackServerContext* context,
                                  const v1::WatchDashboardRequest* request,
                                  v1::Dashboard* response) override {
    return LongPoll::Start(
        calls_, request, context, request->wait_ms(), RunTopic(request->run_id()),
        [=, this](Connection& connection, const Caller& caller) -> absl::StatusOr<bool> {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          ASSIGN_OR_RETURN(const int64_t revision, RunRevision(connection, request->run_id()));
          auto dashboard = dashboards_.Find(request->run_id(), kQuietAge);
          if (dashboard != nullptr && dashboard->run().revision() < revision) {
            dashboard = dashboards_.Find(request->run_id(), kBusyAge);
          }
          if (dashboard == nullptr) {
            const Hub::Clock::time_point begun = Hub::Clock::now();
            ASSIGN_OR_RETURN(v1::Dashboard fresh, ReadDashboard(connection, request->run_id()));
            dashboard = std::make_shared<const v1::Dashboard>(std::move(fresh));
            dashboards_.Keep(request->run_id(), dashboard, Hub::Clock::now() - begun);
          }
          *response = *dashboard;
          return response->run().revision() > request->since_revision();
        });
  }

  grpc::ServerUnaryReactor* ListLabels(grpc::CallbackServerContext* context,
                                       const v1::ListLabelsRequest* request,
                                       v1::ListLabelsResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckRange("limit", request->limit(), 0, 200));
          RETURN_IF_ERROR(
              CheckRange("before_label_id", request->before_label_id(), 0, int64_t{1} << 62));
          RETURN_IF_ERROR(CheckText("labeler", request->labeler(), 256));
          if (!v1::Purpose_IsValid(request->purpose())) {
            return absl::InvalidArgumentError(
                "purpose must be TRAIN, GOLD, REPEAT, QUALIFICATION or PROGRESS, or unset");
          }
          if (!v1::Choice_IsValid(request->choice())) {
            return absl::InvalidArgumentError(
                "choice must be LEFT, RIGHT, TIE, CANNOT_TELL or BROKEN, or unset");
          }
          ASSIGN_OR_RETURN(*response, preference_broker::ListLabels(connection, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* ListDisagreements(grpc::CallbackServerContext* context,
                                              const v1::ListDisagreementsRequest* request,
                                              v1::ListDisagreementsResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   RETURN_IF_ERROR(CheckRange("limit", request->limit(), 0, 50));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::ListDisagreements(connection, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* GetClips(grpc::CallbackServerContext* context,
                                     const v1::GetClipsRequest* request,
                                     v1::GetClipsResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          if ((request->clip_ids_size() > 0) == (request->newest() != 0)) {
            return absl::InvalidArgumentError(
                "give clip_ids, or how many of the newest clips: one of the two");
          }
          RETURN_IF_ERROR(
              CheckRange("the number of clip_ids", request->clip_ids_size(), 0, kMostDrawnClips));
          RETURN_IF_ERROR(CheckRange("newest", request->newest(), 0, kMostDrawnClips));
          for (int i = 0; i < request->clip_ids_size(); ++i) {
            RETURN_IF_ERROR(CheckClipId(absl::StrCat("clip_ids[", i, "]"), request->clip_ids(i)));
          }
          ASSIGN_OR_RETURN(*response, DrawnClips(connection, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* GetEpisode(grpc::CallbackServerContext* context,
                                       const v1::GetEpisodeRequest* request,
                                       v1::Episode* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   RETURN_IF_ERROR(CheckRange("policy_version", request->policy_version(), 0,
                                              rpc::kMaxIteration));
                   ASSIGN_OR_RETURN(RecordedEpisode episode, ReadEpisode(connection, *request));
                   response->set_policy_version(episode.recording.policy_version());
                   response->set_iteration(episode.recording.iteration());
                   response->set_steps(episode.recording.steps());
                   response->set_playback_fps(episode.playback_fps);
                   response->set_scene_hash(episode.scene_hash);
                   for (const int64_t version : episode.versions)
                     response->add_recorded_versions(version);
                   if (!episode.reward.empty())
                     RETURN_IF_ERROR(AddPrediction(episode.reward, episode.recording, response));
                   *response->mutable_poses() = std::move(*episode.recording.mutable_poses());
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* AskAbout(grpc::CallbackServerContext* context,
                                     const v1::AskAboutRequest* request,
                                     v1::AskAboutResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
          RETURN_IF_ERROR(
              CheckRange("policy_version", request->policy_version(), 0, rpc::kMaxIteration));
          RETURN_IF_ERROR(CheckRange("step", request->step(), 0, 1'000'000));
          ASSIGN_OR_RETURN(*response, preference_broker::AskAbout(connection, caller, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* AddGold(grpc::CallbackServerContext* context,
                                    const v1::AddGoldRequest* request,
                                    v1::GoldPair* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          if (request->clip_ids_size() != 2 || request->clip_ids(0) == request->clip_ids(1)) {
            return absl::InvalidArgumentError("clip_ids must name two different clips");
          }
          RETURN_IF_ERROR(CheckClipId("clip_ids[0]", request->clip_ids(0)));
          RETURN_IF_ERROR(CheckClipId("clip_ids[1]", request->clip_ids(1)));
          if (request->answer() != v1::LEFT && request->answer() != v1::RIGHT &&
              request->answer() != v1::TIE) {
            return absl::InvalidArgumentError(
                "answer must be LEFT (the first clip is better), RIGHT or TIE");
          }
          if (request->use() != v1::CHECK && request->use() != v1::QUALIFY &&
              request->use() != v1::SHOW) {
            return absl::InvalidArgumentError("use must be CHECK, QUALIFY or SHOW");
          }
          RETURN_IF_ERROR(CheckPlainText("explanation", request->explanation(), 2000));
          ASSIGN_OR_RETURN(*response, preference_broker::AddGold(connection, caller, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* ListGold(grpc::CallbackServerContext* context,
                                     const v1::ListGoldRequest* request,
                                     v1::ListGoldResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::ListGold(connection, request->run_id()));
                   return CutPage(request->page(), response->mutable_pairs(), response);
                 });
  }

  grpc::ServerUnaryReactor* RemoveGold(grpc::CallbackServerContext* context,
                                       const v1::RemoveGoldRequest* request,
                                       v1::RemoveGoldResponse*) override {
    return Unary(calls_, request, context, [=](Connection& connection, const Caller& caller) {
      return preference_broker::RemoveGold(connection, caller, request->gold_id());
    });
  }

  grpc::ServerWriteReactor<v1::Candidate>* ExportClips(
      grpc::CallbackServerContext* context, const v1::ExportClipsRequest* request) override {
    using Stream = PagedStream<v1::Candidate>;
    return Stream::Start(
        calls_, request, context, "",
        [request, listed = false, ids = std::vector<int64_t>(), sent = size_t{0}](
            Connection& connection, const Caller& caller,
            std::deque<v1::Candidate>* page) mutable -> absl::StatusOr<Stream::Next> {
          if (!listed) {
            RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
            RETURN_IF_ERROR(CheckRange("the number of clip_ids", request->clip_ids_size(), 0,
                                       kMostExportedIds));
            for (int i = 0; i < request->clip_ids_size(); ++i) {
              RETURN_IF_ERROR(CheckClipId(absl::StrCat("clip_ids[", i, "]"), request->clip_ids(i)));
            }
            ASSIGN_OR_RETURN(ids,
                             ClipRows(connection, request->run_id(),
                                      {request->clip_ids().begin(), request->clip_ids().end()}));
            listed = true;
          }
          const size_t end = std::min(ids.size(), sent + kClipsPerPage);
          ASSIGN_OR_RETURN(auto clips,
                           ReadWholeClips(connection, std::vector<int64_t>(ids.begin() + sent,
                                                                           ids.begin() + end)));
          for (v1::Candidate& clip : clips) page->push_back(std::move(clip));
          sent = end;
          return sent == ids.size() ? Stream::Next::kEnd : Stream::Next::kMore;
        });
  }

  grpc::ServerReadReactor<v1::ImportLabelsRequest>* ImportLabels(
      grpc::CallbackServerContext* context, v1::ImportLabelsResponse* response) override {
    auto import = std::make_shared<Import>();
    return UploadStream<v1::ImportLabelsRequest>::Start(
        calls_, context,
        [import](v1::ImportLabelsRequest& request) { return import->Take(request); },
        [this, import, response](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, import->run_id));
          ASSIGN_OR_RETURN(RunDefinition run, GetRunDefinition(connection, import->run_id));
          run.task.set_has_true_reward(false);
          run.task.set_rubric_criteria(0);
          RETURN_IF_ERROR(import->Check(run.task));
          ASSIGN_OR_RETURN(*response,
                           preference_broker::ImportLabels(connection, caller, import->run_id,
                                                           import->clips, import->labels));
          numberer_->Number(import->run_id);
          return absl::OkStatus();
        });
  }

 private:
  const CallContext calls_;
  FeedNumberer* const numberer_;
  Dashboards dashboards_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeReviewService(CallContext calls, FeedNumberer* numberer) {
  return std::make_unique<ReviewServiceImpl>(calls, numberer);
}

}  // namespace backflip::preference_broker
