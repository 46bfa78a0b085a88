#include "cli/launcher/pages.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/commands/train.h"
#include "cli/output/links.h"

namespace backflip::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::Status Refused(const PagesOptions& options) { return ChoosePagesAddress(options).status(); }

class PagesAddressTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
    certificate_ = folder_ + "/certificate.pem";
    key_ = folder_ + "/key.pem";
    std::ofstream(certificate_) << "certificate";
    std::ofstream(key_) << "key";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_, certificate_, key_;
};

// Comes first: a process that has chosen before hands that on to its children.
TEST_F(PagesAddressTest, IsAnotherForEachOfTwoThatStartAtOnce) {
  int chosen[2], done[2];
  ASSERT_EQ(pipe(chosen), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t other = fork();
  if (other == 0) {
    close(done[1]);
    const std::string listen = ChoosePagesAddress({})->listen;
    (void)!write(chosen[1], listen.data(), listen.size());
    // its broker does not listen yet
    char byte;
    (void)!read(done[0], &byte, 1);
    _exit(0);
  }
  char theirs[64] = "";
  ASSERT_GT(read(chosen[0], theirs, sizeof(theirs) - 1), 0);
  EXPECT_NE(ChoosePagesAddress({})->listen, theirs);
  for (const int fd : {chosen[0], chosen[1], done[0], done[1]}) close(fd);
  EXPECT_EQ(waitpid(other, nullptr, 0), other);
}

TEST_F(PagesAddressTest, StaysOnThisMachineUnlessShared) {
  const auto address = ChoosePagesAddress({});
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_THAT(address->listen, StartsWith("127.0.0.1:"));
  EXPECT_EQ(address->url, absl::StrCat("http://", address->listen));
  EXPECT_TRUE(OnThisMachineAlone(address->url));
}

TEST_F(PagesAddressTest, TakesAFreePortWhereTheUsualOneIsTaken) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in taken = {};
  taken.sin_family = AF_INET;
  taken.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  taken.sin_port = htons(7480);
  // Either we hold it, or somebody else does and goes on: connections that ended a
  // moment ago do not hold it, nor do other tests for long.
  const int reuse = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
  const absl::Time give_up = absl::Now() + absl::Seconds(5);
  bool held = false;
  while (!held && absl::Now() < give_up) {
    held = bind(fd, reinterpret_cast<sockaddr*>(&taken), sizeof(taken)) == 0 && listen(fd, 1) == 0;
    if (!held) absl::SleepFor(absl::Milliseconds(20));
  }
  const auto address = ChoosePagesAddress({});
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_NE(address->listen, "127.0.0.1:7480");
  // a proxy would look at the usual port alone
  const absl::Status refused = Refused({.share = true, .public_url = "https://labels.example.org"});
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("--http-listen 127.0.0.1:PORT"));
  // what is wrong whatever port is free is said first
  EXPECT_THAT(Refused({.share = true, .public_url = "http://labels.example.org"}).message(),
              HasSubstr("It must be https://"));
  close(fd);
}

TEST_F(PagesAddressTest, IsSharedBehindTlsAlone) {
  EXPECT_THAT(Refused({.share = true}).message(), HasSubstr("--public-url https://"));
  const auto own = ChoosePagesAddress(
      {.share = true, .listen = "0.0.0.0:7443", .tls_certificate = certificate_, .tls_key = key_});
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_THAT(own->url, StartsWith("https://"));
  EXPECT_THAT(own->url, EndsWith(":7443"));
  // behind a proxy on this machine nothing is open to others
  const auto proxied = ChoosePagesAddress(
      {.share = true, .listen = "127.0.0.1:7481", .public_url = "https://labels.example.org/"});
  ASSERT_TRUE(proxied.ok()) << proxied.status();
  EXPECT_EQ(proxied->url, "https://labels.example.org");
  EXPECT_EQ(proxied->listen, "127.0.0.1:7481");
}

TEST_F(PagesAddressTest, NamesWhatDoesNotFitTogether) {
  EXPECT_THAT(Refused({.share = true, .tls_certificate = certificate_}).message(),
              HasSubstr("go together"));
  EXPECT_THAT(
      Refused({.share = true, .tls_certificate = folder_ + "/none.pem", .tls_key = key_}).message(),
      HasSubstr("none.pem, which cannot be read"));
  EXPECT_THAT(Refused({.public_url = "https://labels.example.org"}).message(),
              HasSubstr("give --share, too"));
  EXPECT_THAT(Refused({.listen = "0.0.0.0:7480"}).message(), HasSubstr("give --share, too"));
  EXPECT_THAT(Refused({.listen = "localhost"}).message(), HasSubstr("must be host:port"));
  EXPECT_THAT(
      Refused({.share = true, .listen = "127.0.0.1:7481", .public_url = "labels.example.org"})
          .message(),
      HasSubstr("it must be https://"));
}

TEST(PublicUrl, IsHttpsOrThisMachine) {
  EXPECT_EQ(CheckPublicUrl("https://labels.example.org:8443/").value(),
            "https://labels.example.org:8443");
  EXPECT_TRUE(CheckPublicUrl("http://127.0.0.1:7480").ok());
  EXPECT_TRUE(CheckPublicUrl("http://[::1]:7480").ok());
  EXPECT_THAT(CheckPublicUrl("http://labels.example.org").status().message(),
              HasSubstr("take the link"));
  for (const char* bad :
       {"", "https://", "https://a/b", "https://a b", "ftp://a", "https://me@a"}) {
    EXPECT_FALSE(CheckPublicUrl(bad).ok()) << bad;
  }
  EXPECT_FALSE(OnThisMachineAlone("https://labels.example.org"));
}

TEST(CheckPages, AsksForHumanWherePagesAreMeant) {
  TrainOptions options;
  EXPECT_TRUE(CheckPages(options).ok());
  options.pages.share = true;
  EXPECT_THAT(CheckPages(options).message(), HasSubstr("give --human, too"));
  options.human = true;
  options.stack.broker = "broker:7400";
  EXPECT_THAT(CheckPages(options).message(), HasSubstr("the pages are served there"));
  options.pages.share = false;
  EXPECT_THAT(CheckPages(options).message(), HasSubstr("--public-url https://"));
  options.pages.public_url = "https://labels.example.org";
  EXPECT_TRUE(CheckPages(options).ok());
  // where links are made at a broker elsewhere, other commands may have it too
  options.human = false;
  EXPECT_TRUE(CheckPages(options).ok());
}

TEST(QrCode, IsASquareWithLightAroundIt) {
  const auto code = QrCode("http://127.0.0.1:7480/#invite=" + std::string(43, 'x'));
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_THAT(*code, StartsWith("\033[30;107m    "));
  EXPECT_THAT(*code, HasSubstr("█"));
  EXPECT_THAT(QrCode(std::string(5000, 'x')).status().message(), HasSubstr("fits no QR code"));
}

TEST(OpenInBrowser, StartsTheDesktopsOpenerAndDoesNotWaitForIt) {
  char name[] = "/tmp/backflip-test-XXXXXX";
  const std::string folder = mkdtemp(name);
  const std::string opened = folder + "/opened";
  std::ofstream(folder + "/xdg-open") << "#!/bin/sh\necho \"$1\" >" << opened << ".new; mv "
                                      << opened << ".new " << opened << "; exec sleep 2\n";
  std::filesystem::permissions(folder + "/xdg-open", std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  unsetenv("DISPLAY");
  unsetenv("WAYLAND_DISPLAY");
  EXPECT_FALSE(OpenInBrowser("http://127.0.0.1/"));
  setenv("DISPLAY", ":0", 1);
  setenv("PATH", "/nowhere", 1);
  EXPECT_FALSE(OpenInBrowser("http://127.0.0.1/"));
  setenv("PATH", absl::StrCat(folder, ":", path).c_str(), 1);
  EXPECT_TRUE(OpenInBrowser("http://127.0.0.1/#invite=x"));
  for (int i = 0; i < 2000 && !std::filesystem::exists(opened); ++i) usleep(10'000);
  std::string link;
  std::ifstream(opened) >> link;
  EXPECT_EQ(link, "http://127.0.0.1/#invite=x");
  setenv("PATH", path.c_str(), 1);
  unsetenv("DISPLAY");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace backflip::cli
