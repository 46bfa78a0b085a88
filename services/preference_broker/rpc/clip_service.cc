#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/experience/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/runs/clips.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {
namespace {

constexpr size_t kCandidatesPerPage = 64;

// A question with such clips must fit into an answer to Lease.
absl::Status CheckQuestionSize(const v1::Clip& clip, const v1::RunSpec& spec) {
  const int64_t clips = spec.queries().clips_per_question();
  const int64_t bytes = clips * static_cast<int64_t>(clip.poses().ByteSizeLong());
  if (bytes <= experience::kMaxPayloadBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "a question of ", clips, " clips of ", clip.steps(), " steps with ", clip.poses().bodies(),
      " bodies has ", bytes, " bytes; at most ", experience::kMaxPayloadBytes,
      " can be shown: shorten the task's clip.steps, or give its model fewer bodies"));
}

class ClipServiceImpl final : public v1::ClipService::CallbackService {
 public:
  explicit ClipServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* Upload(grpc::CallbackServerContext* context,
                                   const v1::UploadClipsRequest* request,
                                   v1::UploadClipsResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          if (const int64_t size = request->ByteSizeLong(); size > experience::kMaxPayloadBytes) {
            return absl::InvalidArgumentError(absl::StrCat(
                "the upload has ", size, " bytes, but at most ", experience::kMaxPayloadBytes,
                " are allowed: send fewer clips at a time"));
          }
          ASSIGN_OR_RETURN(const RunDefinition run,
                           GetRunDefinition(connection, request->run_id()));
          if (run.spec.reward() != v1::PREFERENCES) {
            return absl::FailedPreconditionError(absl::StrCat(
                "run ", request->run_id(), " learns from the true reward and takes no clips"));
          }
          // all are checked before one is stored
          for (int i = 0; i < request->clips_size(); ++i) {
            RETURN_IF_ERROR(CheckClip(absl::StrCat("clips[", i, "]"), request->clips(i), run.task));
            RETURN_IF_ERROR(CheckQuestionSize(request->clips(i), run.spec));
          }
          std::vector<PackedClip> packed;
          packed.reserve(request->clips_size());
          for (const v1::Clip& clip : request->clips()) packed.push_back(PackClip(clip));
          ASSIGN_OR_RETURN(const int32_t wanted,
                           StoreClips(connection, caller, request->run_id(), packed));
          for (const PackedClip& clip : packed)
            response->add_clip_ids(absl::BytesToHexString(clip.key));
          response->set_wanted(wanted);
          return absl::OkStatus();
        });
  }

  grpc::ServerWriteReactor<v1::Candidate>* ListCandidates(
      grpc::CallbackServerContext* context, const v1::ListCandidatesRequest* request) override {
    using Stream = PagedStream<v1::Candidate>;
    return Stream::Start(
        calls_, request, context, "",
        [request, listed = false, ids = std::vector<int64_t>(), sent = size_t{0}](
            Connection& connection, const Caller&,
            std::deque<v1::Candidate>* page) mutable -> absl::StatusOr<Stream::Next> {
          if (!listed) {
            RETURN_IF_ERROR(CheckRange("limit", request->limit(), 1, 100'000));
            ASSIGN_OR_RETURN(ids, preference_broker::ListCandidates(
                                      connection, request->run_id(), request->after_iteration(),
                                      request->max_iteration(), request->limit()));
            listed = true;
          }
          const size_t end = std::min(ids.size(), sent + kCandidatesPerPage);
          if (sent < end) {
            ASSIGN_OR_RETURN(auto candidates,
                             ReadCandidates(connection, std::vector<int64_t>(ids.begin() + sent,
                                                                             ids.begin() + end)));
            for (v1::Candidate& candidate : candidates) page->push_back(std::move(candidate));
            sent = end;
          }
          return sent == ids.size() ? Stream::Next::kEnd : Stream::Next::kMore;
        });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeClipService(CallContext calls) {
  return std::make_unique<ClipServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
