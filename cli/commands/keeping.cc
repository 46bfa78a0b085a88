// backflip audit, gc, run delete: what was done, and what goes.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "backflip/v1/operation.grpc.pb.h"
#include "cli/command.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

using v1::OperationService;

struct KeepingFlags {
  std::string run, name, since;
  int limit = 100;
  bool dry_run = false, labels = false;
  int days = 30;
};
KeepingFlags& flags = *new KeepingFlags;

// Deleting may take minutes.
constexpr absl::Duration kPatience = absl::Minutes(10);

void Print(const google::protobuf::RepeatedPtrField<v1::Deleted>& all) {
  for (const v1::Deleted& deleted : all) {
    absl::PrintF("%10d  %s%s\n", deleted.rows(), deleted.what(),
                 deleted.bytes() == 0 ? "" : absl::StrFormat(" (%.1f MB)", deleted.bytes() / 1e6));
  }
}

absl::Status DeleteRun(const Call& call) {
  v1::DeleteRunRequest request;
  request.set_request_id(base::RandomHex128());
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  request.set_run_id(run_id);
  request.set_with_labels(flags.labels);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::DeleteRunResponse response,
                   session.broker->Call<OperationService>(&OperationService::Stub::DeleteRun,
                                                          request, kPatience));
  Print(response.deleted());
  return absl::OkStatus();
}

absl::Status ShowAudit(const Call& call) {
  v1::ListAuditRequest request;
  request.set_name(flags.name);
  RETURN_IF_ERROR(SetRunAndSince(flags.run, flags.since, &request));
  if (flags.limit < 1) return absl::InvalidArgumentError("--limit must be at least 1");
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  bool more = true;
  for (int left = flags.limit; more && left > 0;) {
    request.set_limit(std::min(left, 1000));
    ASSIGN_OR_RETURN(
        const v1::ListAuditResponse response,
        session.broker->Call<OperationService>(&OperationService::Stub::ListAudit, request));
    for (const v1::AuditEntry& entry : response.entries()) {
      absl::PrintF("%s  %-24s %-9s %-6s %s%s\n",
                   absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(entry.at_ms()),
                                    absl::LocalTimeZone()),
                   entry.name().empty() ? "-" : entry.name(), entry.role(),
                   entry.run_id() == 0 ? "" : absl::StrCat("run ", entry.run_id()), entry.action(),
                   entry.detail().empty() ? "" : absl::StrCat(": ", entry.detail()));
      request.set_before_id(entry.id());
    }
    left -= response.entries_size();
    more = response.more();
  }
  return absl::OkStatus();
}

absl::Status CollectGarbage(const Call& call) {
  v1::CollectGarbageRequest request;
  request.set_dry_run(flags.dry_run);
  request.set_days(flags.days);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::CollectGarbageResponse response,
                   session.broker->Call<OperationService>(&OperationService::Stub::CollectGarbage,
                                                          request, kPatience));
  Print(response.deleted());
  if (flags.dry_run) absl::PrintF("Nothing was deleted: this was a dry run.\n");
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kRuns,
     "run delete RUN",
     "delete an ended run with all that belongs to it, for good",
     DeleteRun,
     {{"labels", &flags.labels, "with its labels, without which a run that has some is kept"}}},
    {Section::kSetUp,
     "audit",
     "who changed people, tokens, labels and runs, newest first",
     ShowAudit,
     {{"run RUN", &flags.run, "of this run alone"},
      {"name NAME", &flags.name, "what this caller did"},
      {"since TIME", &flags.since, "from when, such as 2h or 2026-12-01"},
      {"limit N", &flags.limit, "most entries"}}},
    {Section::kSetUp,
     "gc",
     "delete what nothing needs any more",
     CollectGarbage,
     {{"dry-run", &flags.dry_run, "say what would be deleted, and delete nothing"},
      {"days N", &flags.days, "of runs that ended so many days ago"}},
     "Of ended runs: clips that nobody was asked about, older checkpoints and snapshots, most "
     "points of long metrics. Labels and what they name stay until `run delete`. "
     "docs/operating.md has the list."},
};

}  // namespace
}  // namespace backflip::cli
