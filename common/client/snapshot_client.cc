#include "common/client/snapshot_client.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backflip/v1/config.grpc.pb.h"
#include "backflip/v1/trace.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"

namespace backflip::client {
namespace {

// Sends `bytes` in chunks; `fill(first, chunk)` makes a request. Whether the
// stream broke is told by Finish.
template <typename Request, typename Writer, typename Fill>
absl::Status WriteChunks(Writer* writer, absl::string_view bytes, Fill fill) {
  size_t sent = 0;
  do {
    Request request;
    const absl::string_view chunk = bytes.substr(sent, rpc::kChunkBytes);
    fill(sent == 0, std::string(chunk), &request);
    if (!writer->Write(request)) break;
    sent += chunk.size();
  } while (sent < bytes.size());
  writer->WritesDone();
  return rpc::FromGrpc(writer->Finish());
}

// The stream has arrived whole, so a hash that does not fit is that of damaged bytes.
absl::Status CheckHash(absl::string_view what, absl::string_view bytes, absl::string_view sha256) {
  if (base::Sha256Hex(bytes) == sha256) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(what, " is damaged: its hash is not ", sha256));
}

absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>> GetCheckpoint(
    const rpc::Client& broker, const v1::LoadCheckpointRequest& request,
    const std::function<bool()>& stop) {
  const auto stub = v1::SnapshotService::NewStub(broker.channel());
  std::pair<v1::CheckpointInfo, std::string> result;
  RETURN_IF_ERROR(base::Retry({}, stop, [&] {
    const auto context = broker.UnaryContext(absl::Seconds(30));
    const auto reader = stub->LoadCheckpoint(context.get(), request);
    result.second.clear();
    v1::CheckpointChunk chunk;
    while (reader->Read(&chunk)) {
      if (chunk.has_info()) result.first = chunk.info();
      result.second += chunk.data();
    }
    return rpc::FromGrpc(reader->Finish());
  }));
  RETURN_IF_ERROR(CheckHash("a checkpoint", result.second, result.first.sha256()));
  return result;
}

}  // namespace

absl::StatusOr<v1::SnapshotInfo> PublishSnapshot(const rpc::Client& broker, int64_t epoch,
                                                 v1::SnapshotInfo info, absl::string_view bytes,
                                                 const std::function<bool()>& stop) {
  info.set_sha256(base::Sha256Hex(bytes));
  info.set_size(bytes.size());
  const auto stub = v1::SnapshotService::NewStub(broker.channel());
  v1::SnapshotInfo published;
  RETURN_IF_ERROR(base::Retry({}, stop, [&] {
    const auto context = broker.UnaryContext(absl::Seconds(30));
    const auto writer = stub->Publish(context.get(), &published);
    return WriteChunks<v1::PublishSnapshotRequest>(
        writer.get(), bytes,
        [&](bool first, std::string data, v1::PublishSnapshotRequest* request) {
          request->set_epoch(epoch);
          if (first) *request->mutable_chunk()->mutable_info() = info;
          request->mutable_chunk()->set_data(std::move(data));
        });
  }));
  return published;
}

absl::StatusOr<std::pair<v1::SnapshotInfo, std::string>> GetSnapshot(
    const rpc::Client& broker, const v1::GetSnapshotRequest& request,
    const std::function<bool()>& stop) {
  const auto stub = v1::SnapshotService::NewStub(broker.channel());
  std::pair<v1::SnapshotInfo, std::string> result;
  RETURN_IF_ERROR(base::Retry({}, stop, [&] {
    const auto context = broker.UnaryContext(absl::Seconds(30));
    const auto reader = stub->Get(context.get(), request);
    result.second.clear();
    v1::SnapshotChunk chunk;
    while (reader->Read(&chunk)) {
      if (chunk.has_info()) result.first = chunk.info();
      result.second += chunk.data();
    }
    RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
    return CheckHash("a snapshot", result.second, result.first.sha256());
  }));
  return result;
}

absl::Status SaveCheckpoint(const rpc::Client& broker, int64_t epoch, v1::CheckpointInfo info,
                            absl::string_view bytes, const std::function<bool()>& stop) {
  info.set_sha256(base::Sha256Hex(bytes));
  info.set_size(bytes.size());
  const auto stub = v1::SnapshotService::NewStub(broker.channel());
  return base::Retry({}, stop, [&] {
    const auto context = broker.UnaryContext(absl::Seconds(30));
    v1::SaveCheckpointResponse response;
    const auto writer = stub->SaveCheckpoint(context.get(), &response);
    return WriteChunks<v1::SaveCheckpointRequest>(
        writer.get(), bytes, [&](bool first, std::string data, v1::SaveCheckpointRequest* request) {
          request->set_epoch(epoch);
          if (first) *request->mutable_chunk()->mutable_info() = info;
          request->mutable_chunk()->set_data(std::move(data));
        });
  });
}

absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>> LoadCheckpoint(
    const rpc::Client& broker, int64_t run_id, const CheckpointCheck& check,
    const std::function<bool()>& stop) {
  v1::LoadCheckpointRequest request;
  request.set_run_id(run_id);
  absl::Status newest;
  while (true) {
    auto checkpoint = GetCheckpoint(broker, request, stop);
    // a broker of an older version gives the newest again
    const bool older = checkpoint.ok() &&
                       (newest.ok() || checkpoint->first.iteration() < request.before_iteration());
    if (!newest.ok() && (absl::IsNotFound(checkpoint.status()) || (checkpoint.ok() && !older))) {
      return absl::DataLossError(absl::StrCat("no checkpoint of run ", run_id,
                                              " can be used; the newest: ", newest.message()));
    }
    if (!checkpoint.ok()) return checkpoint;
    const absl::Status usable = check(checkpoint->first, checkpoint->second);
    if (usable.ok()) return checkpoint;
    base::LogWarning("a checkpoint cannot be used: trying the one before",
                     {{"run", run_id},
                      {"iteration", checkpoint->first.iteration()},
                      {"reason", usable.message()}});
    if (newest.ok()) newest = usable;
    request.set_before_iteration(checkpoint->first.iteration());
  }
}

void ReportSources(const rpc::Client& broker, const v1::ReportSourcesRequest& request,
                   const std::function<bool()>& stop) {
  const auto traces = v1::TraceService::NewStub(broker.channel());
  const absl::Status status = base::Retry({}, stop, [&] {
    v1::ReportSourcesResponse response;
    return rpc::FromGrpc(traces->ReportSources(broker.UnaryContext().get(), request, &response));
  });
  if (status.ok() || absl::IsCancelled(status)) return;
  base::LogWarning(
      "what a snapshot was learned from is not stored",
      {{"run", request.run_id()}, {"version", request.version()}, {"reason", status.message()}});
}

void ReportConfig(const rpc::Client& broker, int64_t run_id, const std::function<bool()>& stop) {
  v1::ReportConfigRequest request;
  request.set_run_id(run_id);
  request.set_config(base::ProgramConfig());
  const auto stub = v1::ConfigService::NewStub(broker.channel());
  const base::RetryPolicy soon{.give_up_after = absl::Seconds(1)};
  const absl::Status status = base::Retry(soon, stop, [&] {
    v1::ReportConfigResponse response;
    return rpc::FromGrpc(
        stub->ReportConfig(broker.UnaryContext(absl::Seconds(1)).get(), request, &response));
  });
  if (status.ok() || absl::IsCancelled(status)) return;
  base::LogInfo("the flags of this program are not stored with the run",
                {{"run", run_id}, {"reason", status.message()}});
}

absl::Status PutBundle(const rpc::Client& broker, absl::string_view bytes) {
  const auto stub = v1::BundleService::NewStub(broker.channel());
  const std::string sha256 = base::Sha256Hex(bytes);
  return base::Retry({}, nullptr, [&] {
    const auto context = broker.UnaryContext(absl::Minutes(2));
    v1::PutBundleResponse response;
    const auto writer = stub->Put(context.get(), &response);
    return WriteChunks<v1::PutBundleRequest>(
        writer.get(), bytes, [&](bool first, std::string data, v1::PutBundleRequest* request) {
          if (first) {
            request->set_sha256(sha256);
            request->set_size(bytes.size());
          }
          request->set_data(std::move(data));
        });
  });
}

absl::StatusOr<std::string> GetBundle(const rpc::Client& broker, const std::string& sha256,
                                      const std::function<bool()>& stop) {
  const auto stub = v1::BundleService::NewStub(broker.channel());
  v1::GetBundleRequest request;
  request.set_sha256(sha256);
  std::string bytes;
  RETURN_IF_ERROR(base::Retry({}, stop, [&] {
    const auto context = broker.UnaryContext(absl::Minutes(2));
    const auto reader = stub->Get(context.get(), request);
    bytes.clear();
    v1::BundleChunk chunk;
    while (reader->Read(&chunk)) bytes += chunk.data();
    RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
    return CheckHash("a task bundle", bytes, sha256);
  }));
  return bytes;
}

}  // namespace backflip::client
