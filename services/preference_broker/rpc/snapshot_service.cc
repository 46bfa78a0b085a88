#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/snapshots.h"

namespace backflip::preference_broker {
namespace {

constexpr int64_t kMaxSnapshotBytes = 64 << 20;
constexpr int64_t kMaxCheckpointBytes = 256 << 20;
constexpr size_t kMaxCounterBytes = 1 << 20;

// `info` with the first chunk, then the rest of the data.
template <typename Chunk, typename Info>
void AppendChunks(const Info& info, const std::string& data, std::deque<Chunk>* page) {
  size_t sent = 0;
  do {
    Chunk& chunk = page->emplace_back();
    if (sent == 0) *chunk.mutable_info() = info;
    chunk.set_data(data.substr(sent, rpc::kChunkBytes));
    sent += chunk.data().size();
  } while (sent < data.size());
}

absl::Status CheckKind(v1::SnapshotKind kind) {
  if (kind == v1::POLICY || kind == v1::REWARD) return absl::OkStatus();
  return absl::InvalidArgumentError("kind must be POLICY or REWARD");
}

class SnapshotServiceImpl final : public v1::SnapshotService::CallbackService {
 public:
  explicit SnapshotServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerReadReactor<v1::PublishSnapshotRequest>* Publish(
      grpc::CallbackServerContext* context, v1::SnapshotInfo* response) override {
    struct State {
      int64_t epoch = 0;
      v1::SnapshotInfo info;
      ChunkedBytes data;
    };
    auto state = std::make_shared<State>();
    return UploadStream<v1::PublishSnapshotRequest>::Start(
        calls_, context,
        [state](v1::PublishSnapshotRequest& request) -> absl::Status {
          if (!state->data.begun()) {
            state->epoch = request.epoch();
            state->info = request.chunk().info();
            RETURN_IF_ERROR(CheckKind(state->info.kind()));
            RETURN_IF_ERROR(
                CheckRange("iteration", state->info.iteration(), 0, rpc::kMaxIteration));
            RETURN_IF_ERROR(CheckRange("steps", state->info.steps(), 0, rpc::kMaxSteps));
            RETURN_IF_ERROR(CheckRange("labels", state->info.labels(), 0, rpc::kMaxSteps));
            RETURN_IF_ERROR(state->data.Begin("snapshot", state->info.size(), state->info.sha256(),
                                              kMaxSnapshotBytes));
          }
          return state->data.Add(request.chunk().data());
        },
        [state, response](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(state->data.Check());
          const bool learner = caller.role == Role::kLearner;
          if (learner != (state->info.kind() == v1::POLICY)) {
            return absl::PermissionDeniedError(
                absl::StrCat("a ", RoleName(caller.role), " publishes ",
                             learner ? "POLICY" : "REWARD", " snapshots alone"));
          }
          ASSIGN_OR_RETURN(*response, PublishSnapshot(connection, caller, state->epoch, state->info,
                                                      state->data.bytes()));
          return absl::OkStatus();
        });
  }

  grpc::ServerWriteReactor<v1::SnapshotChunk>* Get(grpc::CallbackServerContext* context,
                                                   const v1::GetSnapshotRequest* request) override {
    using Stream = PagedStream<v1::SnapshotChunk>;
    return Stream::Start(
        calls_, request, context, "",
        [request](Connection& connection, const Caller& caller,
                  std::deque<v1::SnapshotChunk>* page) -> absl::StatusOr<Stream::Next> {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckKind(request->kind()));
          ASSIGN_OR_RETURN(const Snapshot snapshot, GetSnapshot(connection, *request));
          AppendChunks(snapshot.info, snapshot.data, page);
          return Stream::Next::kEnd;
        });
  }

  grpc::ServerWriteReactor<v1::SnapshotChunk>* Watch(
      grpc::CallbackServerContext* context, const v1::WatchSnapshotsRequest* request) override {
    using Stream = PagedStream<v1::SnapshotChunk>;
    return Stream::Start(
        calls_, request, context, SnapshotTopic(request->run_id(), request->kind()),
        [request, version = request->after_version()](
            Connection& connection, const Caller& caller,
            std::deque<v1::SnapshotChunk>* page) mutable -> absl::StatusOr<Stream::Next> {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckKind(request->kind()));
          ASSIGN_OR_RETURN(const auto snapshot, GetSnapshotAfter(connection, request->run_id(),
                                                                 request->kind(), version));
          if (snapshot.has_value()) {
            AppendChunks(snapshot->info, snapshot->data, page);
            version = snapshot->info.version();
          }
          return Stream::Next::kWait;
        });
  }

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListSnapshotsRequest* request,
                                 v1::ListSnapshotsResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   RETURN_IF_ERROR(CheckKind(request->kind()));
                   ASSIGN_OR_RETURN(auto infos, ListSnapshots(connection, *request));
                   for (v1::SnapshotInfo& info : infos)
                     *response->add_snapshots() = std::move(info);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* SetBest(grpc::CallbackServerContext* context,
                                    const v1::SetBestRequest* request,
                                    v1::SetBestResponse*) override {
    return Unary(calls_, request, context, [=](Connection& connection, const Caller& caller) {
      return preference_broker::SetBest(connection, caller, *request);
    });
  }

  grpc::ServerReadReactor<v1::SaveCheckpointRequest>* SaveCheckpoint(
      grpc::CallbackServerContext* context, v1::SaveCheckpointResponse*) override {
    struct State {
      int64_t epoch = 0;
      v1::CheckpointInfo info;
      ChunkedBytes data;
    };
    auto state = std::make_shared<State>();
    return UploadStream<v1::SaveCheckpointRequest>::Start(
        calls_, context,
        [state](v1::SaveCheckpointRequest& request) -> absl::Status {
          if (!state->data.begun()) {
            state->epoch = request.epoch();
            state->info = request.chunk().info();
            RETURN_IF_ERROR(
                CheckRange("iteration", state->info.iteration(), 0, rpc::kMaxIteration));
            if (state->info.counters().size() > kMaxCounterBytes) {
              return absl::InvalidArgumentError(
                  "counters has more than 1 MB: put large state into the data");
            }
            RETURN_IF_ERROR(state->data.Begin("checkpoint", state->info.size(),
                                              state->info.sha256(), kMaxCheckpointBytes));
          }
          return state->data.Add(request.chunk().data());
        },
        [state](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(state->data.Check());
          return preference_broker::SaveCheckpoint(connection, caller, state->epoch, state->info,
                                                   state->data.bytes());
        });
  }

  grpc::ServerWriteReactor<v1::CheckpointChunk>* LoadCheckpoint(
      grpc::CallbackServerContext* context, const v1::LoadCheckpointRequest* request) override {
    using Stream = PagedStream<v1::CheckpointChunk>;
    return Stream::Start(
        calls_, request, context, "",
        [request](Connection& connection, const Caller& caller,
                  std::deque<v1::CheckpointChunk>* page) -> absl::StatusOr<Stream::Next> {
          ASSIGN_OR_RETURN(const auto checkpoint,
                           preference_broker::LoadCheckpoint(connection, caller, *request));
          AppendChunks(checkpoint.first, checkpoint.second, page);
          return Stream::Next::kEnd;
        });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSnapshotService(CallContext calls) {
  return std::make_unique<SnapshotServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
