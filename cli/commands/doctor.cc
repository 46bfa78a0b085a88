// backflip doctor: whether a stack can run here, and what to do where not.
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/doctor/checks.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/private_postgres.h"
#include "cli/session.h"
#include "common/base/cores.h"
#include "common/base/flags.h"

namespace backflip::cli {
namespace {

struct DoctorFlags {
  std::string listen = "127.0.0.1:7480";
};
DoctorFlags& flags = *new DoctorFlags;

Findings CheckStack(const Call& call) {
  if (!call.stack.broker.empty()) {
    const auto session = ConnectToBroker(call.stack, call.shutdown);
    if (!session.ok()) {
      return {{Level::kError, "broker", std::string(session.status().message()),
               "the broker's own log says more; look at --broker, --token-file, --ca"}};
    }
    return {{Level::kOk, "broker",
             absl::StrCat("it serves at ", call.stack.broker, ", and its database answers it")}};
  }
  if (!call.stack.database.empty()) return CheckDatabase(call.stack.database);
  const absl::StatusOr<int> installed = PrivatePostgres::InstalledVersion();
  if (!installed.ok()) {
    return {{Level::kError, "database", std::string(installed.status().message()),
             "`deploy/install-dependencies run` installs it"}};
  }
  const std::string data = DataFolder(call.stack);
  std::error_code error;
  if (!std::filesystem::exists(data + "/postgres", error)) {
    return {{Level::kOk, "database",
             absl::StrCat("none in ", data, " yet; PostgreSQL ", *installed, " will make one")}};
  }
  // a stack that runs holds it
  const auto started = PrivatePostgres::Start(data);
  const absl::StatusOr<std::string> url = PrivatePostgres::UrlOf(data);
  if (!url.ok() || (!started.ok() && !absl::StrContains(started.status().message(), "runs"))) {
    return {{Level::kError, "database",
             std::string((url.ok() ? started.status() : url.status()).message()),
             absl::StrCat(data, "/postgres/server.log says more")}};
  }
  return CheckDatabase(*url);
}

// The port of --listen, which our own pages may have.
Finding CheckListening(const StackFlags& stack) {
  const absl::StatusOr<std::string> url = PagesUrlOf(stack);
  const std::string port = flags.listen.substr(flags.listen.rfind(':'));
  if (url.ok() && absl::EndsWith(*url, port)) {
    return {Level::kOk, "port", absl::StrCat("our pages are at ", *url)};
  }
  return CheckPort(flags.listen);
}

// Prints the findings, and returns how many are errors.
int Print(const Findings& findings) {
  constexpr const char* kWords[] = {"ok", "warning", "error"};
  int errors = 0;
  for (const Finding& finding : findings) {
    absl::PrintF("%-8s %-16s %s\n", kWords[static_cast<int>(finding.level)], finding.subject,
                 finding.found);
    if (finding.level != Level::kOk) absl::PrintF("%25s → %s\n", "", finding.advice);
    errors += finding.level == Level::kError;
  }
  return errors;
}

absl::Status Examine(const Call& call) {
  if (!base::IsHostAndPort(flags.listen)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen is '", flags.listen, "'; it must be host:port"));
  }
  const absl::Time now = absl::Now();
  int errors = Print(CheckPrograms(std::filesystem::path(ProgramPath("backflip")).parent_path()));
  errors += Print(CheckStack(call));
  errors += Print(
      {CheckRendering(), CheckListening(call.stack), CheckDataFolder(DataFolder(call.stack), now)});
  if (!call.stack.certificate.empty()) {
    errors += Print({CheckCertificate(call.stack.certificate, call.stack.key, now)});
  }
  if (!call.stack.ca.empty()) errors += Print({CheckCertificate(call.stack.ca, "", now)});
  errors += Print(CheckLimits(base::kGroupsRoot, base::OwnGroup(),
                              static_cast<int>(std::thread::hardware_concurrency()),
                              int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE)));
  if (errors == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      errors == 1
          ? "there is an error; what to do about it stands below it"
          : absl::StrCat("there are ", errors, " errors; what to do about each stands below it"));
}

const Registered kRegistered{
    {Section::kSetUp,
     "doctor",
     "check whether a stack can run here, and say what to do where not",
     Examine,
     {{"listen ADDRESS", &flags.listen, "where the pages or a service are to listen, host:port"}},
     "Programs and their versions, the database (that of --database-url, of the data folder, or "
     "by the broker of --broker), drawing, ports, disks, the certificates of --certificate and "
     "--ca, limits of a container. Ends with 1 where something is an error. Nothing is changed."},
};

}  // namespace
}  // namespace backflip::cli
