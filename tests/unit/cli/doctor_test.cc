#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "cli/doctor/checks.h"
#include "cli/launcher/subprocess.h"
#include "common/base/version.h"

namespace backflip::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int64_t kGiB = int64_t{1} << 30;

class Doctor : public ::testing::Test {
 protected:
  Doctor() {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~Doctor() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + file).parent_path());
    std::ofstream(folder_ + file) << text;
  }
  // A certificate for 30 days, and its key beside it.
  std::string MakeCertificate(const std::string& name) {
    const std::string file = folder_ + "/" + name;
    const auto made =
        cli::Run({.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                           "/CN=x", "-keyout", file + ".key", "-out", file + ".pem"}});
    EXPECT_TRUE(made.ok()) << made.status();
    return file;
  }

  std::string folder_;
};

TEST_F(Doctor, SaysHowLongACertificateHolds) {
  const std::string file = MakeCertificate("ours");
  const absl::Time now = absl::Now();
  const auto check = [&](absl::Duration later) {
    return CheckCertificate(file + ".pem", file + ".key", now + later);
  };
  EXPECT_EQ(check(absl::ZeroDuration()).level, Level::kOk);
  EXPECT_THAT(check(absl::Hours(1)).found, HasSubstr("is valid for 29 more days"));
  EXPECT_EQ(check(20 * absl::Hours(24)).level, Level::kWarning);
  EXPECT_EQ(check(31 * absl::Hours(24)).level, Level::kError);
  EXPECT_THAT(check(31 * absl::Hours(24)).found, HasSubstr("expired on"));
  EXPECT_EQ(check(-absl::Hours(1)).level, Level::kError) << "not yet valid";
}

TEST_F(Doctor, RefusesWhatIsNoCertificateOrNotItsKey) {
  const std::string ours = MakeCertificate("ours"), other = MakeCertificate("other");
  EXPECT_EQ(CheckCertificate(ours + ".pem", other + ".key", absl::Now()).level, Level::kError);
  EXPECT_EQ(CheckCertificate(ours + ".key", "", absl::Now()).level, Level::kError);
  EXPECT_EQ(CheckCertificate(folder_ + "/none.pem", "", absl::Now()).level, Level::kError);
}

TEST_F(Doctor, NoticesAPortThatIsTaken) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(bind(fd, generic, size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  ASSERT_EQ(getsockname(fd, generic, &size), 0);
  const std::string taken = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  EXPECT_EQ(CheckPort(taken).level, Level::kWarning);
  EXPECT_THAT(CheckPort(taken).found, HasSubstr(taken));
  close(fd);
  EXPECT_EQ(CheckPort(taken).level, Level::kOk);
}

TEST_F(Doctor, HoldsAContainersLimitsAgainstWhatAStackTakes) {
  const auto levels = [&](const std::string& group) {
    std::vector<Level> levels;
    for (const Finding& f : CheckLimits(folder_, group, 16, 64 * kGiB)) levels.push_back(f.level);
    return levels;
  };
  EXPECT_THAT(levels(""), ::testing::ElementsAre(Level::kOk, Level::kOk)) << "without limits";
  Write("/pod/cpu.max", "50000 100000");
  Write("/pod/memory.max", "max");
  Write("/memory.max", absl::StrCat(kGiB / 2));
  EXPECT_THAT(levels("/pod"), ::testing::ElementsAre(Level::kWarning, Level::kError));
  const Findings found = CheckLimits(folder_, "/pod", 16, 64 * kGiB);
  EXPECT_THAT(found[0].found, HasSubstr("1 of 16 may be used (cpu.max)"));
  EXPECT_THAT(found[1].found, HasSubstr("0.5 GiB of 64.0 GiB may be used (memory.max)"));
  EXPECT_THAT(found[1].advice, Not(IsEmpty()));
}

TEST_F(Doctor, SaysWhenTheDiskIsFull) {
  // noon: what others write meanwhile does not make it another day
  const absl::Time now = absl::FromCivil(absl::CivilHour(2030, 1, 1, 12), absl::LocalTimeZone());
  const int64_t free = static_cast<int64_t>(std::filesystem::space(folder_).available);
  // as much in two days as is left: full in two more
  const Finding soon = CheckDisk("disk", folder_, free, now - 2 * absl::Hours(24), now);
  EXPECT_NE(soon.level, Level::kOk);
  EXPECT_THAT(soon.found,
              HasSubstr("full on " + absl::FormatTime("%Y-%m-%d", now + 2 * absl::Hours(24),
                                                      absl::LocalTimeZone())));
  EXPECT_THAT(CheckDisk("disk", folder_, free, now, now).found, Not(HasSubstr("full on")))
      << "too young to tell";
  EXPECT_THAT(CheckDataFolder(folder_ + "/none/yet", now).found, HasSubstr(folder_));
}

TEST_F(Doctor, ReadsWhatTheDatabaseIs) {
  const std::string good =
      "server_version 15.6\nschema 9\nschema_known 9\nsynchronous_commit on\nfsync on\n"
      "clock_ahead_ms 12\nbytes 10485760\ndata_directory \n";
  for (const Finding& f : ReadInspection(good)) EXPECT_EQ(f.level, Level::kOk) << f.subject;
  const auto worst = [&](const std::string& from, const std::string& to) {
    Level level = Level::kOk;
    for (const Finding& f : ReadInspection(absl::StrReplaceAll(good, {{from, to}}))) {
      level = std::max(level, f.level);
      EXPECT_EQ(f.advice.empty(), f.level == Level::kOk) << f.subject;
    }
    return level;
  };
  EXPECT_EQ(worst("schema 9", "schema 8"), Level::kWarning);
  EXPECT_EQ(worst("schema 9", "schema 10"), Level::kError);
  EXPECT_EQ(worst("fsync on", "fsync off"), Level::kError);
  EXPECT_EQ(worst("ahead_ms 12", "ahead_ms -5000"), Level::kWarning);
  EXPECT_EQ(worst("ahead_ms 12", "ahead_ms 90000"), Level::kError);
}

TEST_F(Doctor, NoticesProgramsOfAnotherVersionAndASlowBlas) {
  const std::string ours = base::VersionText();
  EXPECT_THAT(ComparePrograms({{"labeler", ours}}), SizeIs(1));
  const Findings other =
      ComparePrograms({{"labeler", absl::StrReplaceAll(ours, {{"backflip ", "backflip 9."}})}});
  ASSERT_FALSE(other.empty());
  EXPECT_EQ(other[0].level, Level::kError);
  EXPECT_THAT(other[0].found, HasSubstr("labeler has backflip 9."));
  const Findings slow =
      ComparePrograms({{"policy-learner", ours + "BLAS /usr/lib/blas/libblas.so.3\n"}});
  EXPECT_EQ(slow.back().level, Level::kWarning);
  EXPECT_THAT(slow.back().advice, HasSubstr("libopenblas0-serial"));
}

TEST_F(Doctor, DrawsWithoutADisplay) { EXPECT_EQ(CheckRendering().level, Level::kOk); }

}  // namespace
}  // namespace backflip::cli
