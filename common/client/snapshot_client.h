// Snapshots, checkpoints and bundles to and from the broker: chunked streams as plain bytes.
// Every call blocks, is retried within bounds while the broker is away, and is
// idempotent (the protocol's keys see to it).
#ifndef BACKFLIP_COMMON_CLIENT_SNAPSHOT_CLIENT_H_
#define BACKFLIP_COMMON_CLIENT_SNAPSHOT_CLIENT_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "backflip/v1/trace.pb.h"
#include "common/rpc/client.h"

namespace backflip::client {

// `info`: run_id, kind, iteration, steps, labels, kept; hash and size are
// filled in. Returns what the broker made of it, with the version. `stop` (may
// be null) ends the retries.
absl::StatusOr<v1::SnapshotInfo> PublishSnapshot(const rpc::Client& broker, int64_t epoch,
                                                 v1::SnapshotInfo info, absl::string_view bytes,
                                                 const std::function<bool()>& stop);

absl::StatusOr<std::pair<v1::SnapshotInfo, std::string>> GetSnapshot(
    const rpc::Client& broker, const v1::GetSnapshotRequest& request,
    const std::function<bool()>& stop);

absl::Status SaveCheckpoint(const rpc::Client& broker, int64_t epoch, v1::CheckpointInfo info,
                            absl::string_view bytes, const std::function<bool()>& stop);

// Whether a checkpoint can be used: an error says why not.
using CheckpointCheck =
    std::function<absl::Status(const v1::CheckpointInfo& info, const std::string& bytes)>;

// The newest checkpoint of the caller's role that `check` takes. NOT_FOUND: the run has none yet.
// DATA_LOSS: it has some, and none can be used; says why the newest cannot. An older one is used
// with a warning in the log.
absl::StatusOr<std::pair<v1::CheckpointInfo, std::string>> LoadCheckpoint(
    const rpc::Client& broker, int64_t run_id, const CheckpointCheck& check,
    const std::function<bool()>& stop);

// Tells what a published snapshot was learned from. Only who asks for the life of a label needs it:
// a failure is a warning in the log.
void ReportSources(const rpc::Client& broker, const v1::ReportSourcesRequest& request,
                   const std::function<bool()>& stop);

// Tells with which flags this process serves a run, for `backflip run config`. A failure is a line
// of the log. At most two seconds.
void ReportConfig(const rpc::Client& broker, int64_t run_id, const std::function<bool()>& stop);

absl::Status PutBundle(const rpc::Client& broker, absl::string_view bytes);
absl::StatusOr<std::string> GetBundle(const rpc::Client& broker, const std::string& sha256,
                                      const std::function<bool()>& stop);

}  // namespace backflip::client

#endif  // BACKFLIP_COMMON_CLIENT_SNAPSHOT_CLIENT_H_
