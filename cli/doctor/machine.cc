#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/doctor/checks.h"
#include "cli/launcher/pages.h"
#include "cli/launcher/paths.h"
#include "common/base/cores.h"
#include "common/base/status_macros.h"
#include "common/rpc/transport.h"
#include "common/sim/mujoco/render.h"
#include "common/sim/task.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kGiB = int64_t{1} << 30;
// Free space below which a run of a day may not fit, and below which PostgreSQL may stop at once.
constexpr int64_t kLittleSpace = 5 * kGiB, kNoSpace = kGiB / 2;
constexpr int kSoonDays = 14;
// A stack with one run was seen at 0.7 GiB: learner and trainer 0.2 each, PostgreSQL, broker and a
// worker the rest. Checkpoints, larger tasks and the cache of files want as much again.
constexpr int64_t kStackMemory = 2 * kGiB, kLeastMemory = kGiB;

absl::Status Draw() {
  const std::vector<std::string> tasks = ShippedTasks();
  if (tasks.empty()) return absl::NotFoundError("there is no folder tasks beside the programs");
  ASSIGN_OR_RETURN(const std::string folder, FindTask(tasks.front()));
  ASSIGN_OR_RETURN(const auto task, sim::Task::FromFolder(folder));
  ASSIGN_OR_RETURN(const auto environment, task->MakeEnvironment());
  RETURN_IF_ERROR(environment->Begin(1, sim::Environment::Purpose::kEvaluation));
  std::vector<double> state(task->state_size());
  environment->RecordState(state.data());
  ASSIGN_OR_RETURN(const auto renderer, sim::Renderer::Create(*task, 64, 48));
  (void)renderer->Draw(state.data(), /*cut=*/true);
  return absl::OkStatus();
}

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

std::vector<Certificate> ReadCertificates(const std::string& file) {
  std::vector<Certificate> certificates;
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_file(file.c_str(), "r"), BIO_free);
  while (bio != nullptr) {
    Certificate next(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
    if (next == nullptr) break;
    certificates.push_back(std::move(next));
  }
  return certificates;
}

bool IsKeyOf(const std::string& file, X509& certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_file(file.c_str(), "r"), BIO_free);
  if (bio == nullptr) return false;
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  return key != nullptr && X509_check_private_key(&certificate, key.get()) == 1;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  tm parts = {};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? absl::FromTM(parts, absl::UTCTimeZone())
                                            : absl::InfinitePast();
}

std::string Day(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d", time, absl::LocalTimeZone());
}

std::string Size(int64_t bytes) { return absl::StrFormat("%.1f GiB", bytes / double{kGiB}); }

}  // namespace

Finding CheckRendering() {
  const absl::Status drawn = Draw();
  if (drawn.ok()) return {Level::kOk, "rendering", "a task was drawn without a display"};
  // pages draw by themselves: only films and previews need it
  return {Level::kWarning, "rendering", std::string(drawn.message()),
          "`deploy/install-dependencies draw` installs what films and previews need"};
}

Finding CheckPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  (void)absl::SimpleAtoi(address.substr(colon == absl::string_view::npos ? 0 : colon + 1), &port);
  if (FreePort(port, !rpc::IsOnThisMachine(address)) != 0) {
    return {Level::kOk, "port", absl::StrCat("a program can listen at ", address)};
  }
  return {Level::kWarning, "port", absl::StrCat("nobody can listen at ", address, ": it is in use"),
          "`ss -ltnp` says by whom; end that, or choose another address with --http-listen"};
}

Finding CheckCertificate(const std::string& file, const std::string& key, absl::Time now) {
  const std::string subject = "certificate";
  const std::vector<Certificate> certificates = ReadCertificates(file);
  if (certificates.empty()) {
    return {
        Level::kError, subject, absl::StrCat(file, " is no readable PEM file of certificates"),
        "name a file that begins with -----BEGIN CERTIFICATE-----, and that this user may read"};
  }
  if (!key.empty() && !IsKeyOf(key, *certificates.front())) {
    return {Level::kError, subject, absl::StrCat(key, " is not the key of ", file),
            "name the key that the certificate was made with"};
  }
  absl::Time end = absl::InfiniteFuture(), begin = absl::InfinitePast();
  for (const Certificate& certificate : certificates) {
    end = std::min(end, TimeOf(X509_get0_notAfter(certificate.get())));
    begin = std::max(begin, TimeOf(X509_get0_notBefore(certificate.get())));
  }
  if (begin > now) {
    return {Level::kError, subject, absl::StrCat(file, " is valid only from ", Day(begin), " on"),
            "look at this machine's clock, or wait"};
  }
  const double days = absl::ToDoubleHours(end - now) / 24;
  if (days < 0) {
    return {Level::kError, subject, absl::StrCat(file, " expired on ", Day(end)),
            "put a new one into its place: programs that run read it by themselves"};
  }
  return {days < kSoonDays ? Level::kWarning : Level::kOk, subject,
          absl::StrFormat("%s is valid for %d more days, until %s", file, static_cast<int>(days),
                          Day(end)),
          days < kSoonDays ? "renew it: programs that run read the new file by themselves" : ""};
}

Finding CheckDisk(absl::string_view subject, const std::string& folder, int64_t bytes,
                  absl::Time since, absl::Time now) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) {
    return {Level::kWarning, std::string(subject),
            absl::StrCat("the disk of ", folder, " cannot be seen: ", error.message()),
            "look at it as a user who may enter the folder"};
  }
  const int64_t free = static_cast<int64_t>(space.available);
  Finding finding{Level::kOk, std::string(subject),
                  absl::StrCat(Size(free), " of ", Size(static_cast<int64_t>(space.capacity)),
                               " are free for ", folder)};
  // what begins is not what goes on
  const double days = absl::ToDoubleHours(now - since) / 24;
  double left = std::numeric_limits<double>::infinity();
  if (bytes > 0 && days > 1.0 / 24) {
    left = static_cast<double>(free) / (static_cast<double>(bytes) / days);
    absl::StrAppendFormat(&finding.found, ", which has grown by %s a day since %s",
                          Size(static_cast<int64_t>(static_cast<double>(bytes) / days)),
                          Day(since));
    // a century is as good as never
    if (left < 36500) {
      absl::StrAppend(&finding.found, ": full on ", Day(now + left * absl::Hours(24)));
    }
  }
  if (free < kLittleSpace || left < kSoonDays) {
    finding.level = free < kNoSpace ? Level::kError : Level::kWarning;
    finding.advice =
        "`backflip gc` and `backflip run delete` make room, or move the folder to a larger disk";
  }
  return finding;
}

Finding CheckDataFolder(const std::string& folder, absl::Time now) {
  int64_t bytes = 0;
  absl::Time since = now;
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator entry(folder, options, error), end; entry != end;
       entry.increment(error)) {
    std::error_code gone;  // files come and go meanwhile
    if (!entry->is_regular_file(gone)) continue;
    const auto size = entry->file_size(gone);
    if (gone) continue;
    bytes += static_cast<int64_t>(size);
    const auto age = fs::file_time_type::clock::now() - entry->last_write_time(gone);
    if (!gone) since = std::min(since, now - absl::FromChrono(age));
  }
  std::string there = folder;
  while (!fs::exists(there, error) && there.size() > 1) there = fs::path(there).parent_path();
  return CheckDisk("disk", there, bytes, since, now);
}

Findings CheckLimits(const std::string& root, const std::string& group, int cores, int64_t memory) {
  const int usable = base::CoresInGroup(root, group, cores);
  const int64_t bytes = base::MemoryInGroup(root, group, memory);
  Findings findings;
  findings.push_back(
      {usable < 2 ? Level::kWarning : Level::kOk, "processors",
       absl::StrCat(usable, " of ", cores, " may be used", usable < cores ? " (cpu.max)" : ""),
       usable < 2 ? "give it two or more: simulation and learning take turns on one" : ""});
  findings.push_back({bytes < kLeastMemory   ? Level::kError
                      : bytes < kStackMemory ? Level::kWarning
                                             : Level::kOk,
                      "memory",
                      absl::StrCat(Size(bytes), " of ", Size(memory), " may be used",
                                   bytes < memory ? " (memory.max)" : ""),
                      bytes < kStackMemory ? absl::StrCat("give it ", Size(kStackMemory),
                                                          ": a whole stack takes about that")
                                           : ""});
  return findings;
}

}  // namespace backflip::cli
