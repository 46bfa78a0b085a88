// `backflip train --human --share`: pages for other machines, under TLS.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/launcher/subprocess.h"
#include "tests/end_to_end/launcher.h"

namespace backflip::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// An address at which other machines could reach this one; empty: it has none.
std::string OutsideAddress() {
  ifaddrs* all = nullptr;
  std::string address;
  if (getifaddrs(&all) != 0) return address;
  for (const ifaddrs* one = all; one != nullptr && address.empty(); one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
        (one->ifa_flags & IFF_LOOPBACK) != 0) {
      continue;
    }
    char text[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(one->ifa_addr)->sin_addr, text,
              sizeof(text));
    address = text;
  }
  freeifaddrs(all);
  return address;
}

class Share : public ::testing::Test {
 protected:
  void SetUp() override {
    auto launcher = Launcher::Make();
    ASSERT_TRUE(launcher.ok()) << launcher.status();
    launcher_ = *std::move(launcher);
    certificate_ = (launcher_->folder() / "certificate.pem").string();
    key_ = (launcher_->folder() / "key.pem").string();
    char name[256] = {};
    ASSERT_EQ(gethostname(name, sizeof(name) - 1), 0);
    host_ = name;
  }
  std::string Refused(std::vector<std::string> words) {
    words.insert(words.begin(), {"train", "--human"});
    const auto output = launcher_->Run(words);
    EXPECT_FALSE(output.ok()) << *output;
    EXPECT_FALSE(std::filesystem::exists(launcher_->folder() / "data")) << "something was started";
    return std::string(output.status().message());
  }

  std::unique_ptr<Launcher> launcher_;
  std::string certificate_, key_, host_;
};

TEST_F(Share, ServesThePagesToOtherMachinesUnderTheGivenCertificate) {
  const std::string address = OutsideAddress();
  if (address.empty()) GTEST_SKIP() << "this machine has loopback alone";
  const auto made =
      cli::Run({.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                         "/CN=labels", "-addext", absl::StrCat("subjectAltName=DNS:", host_),
                         "-keyout", key_, "-out", certificate_}});
  ASSERT_TRUE(made.ok()) << made.status();
  const absl::Status started = launcher_->Start({"train", "--human", "--share", "--task=hopper",
                                                 absl::StrCat("--tls-certificate=", certificate_),
                                                 absl::StrCat("--tls-key=", key_)});
  ASSERT_TRUE(started.ok()) << started;
  ASSERT_TRUE(launcher_->Prints("/#invite=")) << launcher_->Printed();
  const std::string link = launcher_->Link();
  ASSERT_THAT(link, StartsWith(absl::StrCat("https://", host_, ":")));

  // as another machine finds it: by name, at an address that is not loopback
  const std::string url = link.substr(0, link.find('#'));
  const std::string port = url.substr(url.rfind(':') + 1, url.size() - url.rfind(':') - 2);
  const std::vector<std::string> there = {
      "--cacert", certificate_, "--noproxy",
      "*",        "--resolve",  absl::StrCat(host_, ":", port, ":", address)};
  std::vector<std::string> curl = {"curl", "-sS", "--fail", url};
  curl.insert(curl.end(), there.begin(), there.end());
  const auto page = cli::Run({.argv = curl});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(*page, HasSubstr("<title>"));
  auto person = Person::Accept(link, there);
  ASSERT_TRUE(person.ok()) << person.status();
  const absl::Status answered = person->Answer(1);
  EXPECT_TRUE(answered.ok()) << answered;
  // and nothing is there without TLS
  EXPECT_FALSE(cli::Run({.argv = {"curl", "-sS", "--fail", "--noproxy", "*",
                                  absl::StrCat("http://", address, ":", port, "/")}})
                   .ok());

  // a second stack in the same folder is refused, and leaves the first alone
  const auto second = launcher_->Run({"train", "--task=hopper"});
  EXPECT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another backflip runs in the data folder"));
  const auto another = launcher_->Run({"label"});
  ASSERT_TRUE(another.ok()) << another.status();
  EXPECT_THAT(*another, HasSubstr(absl::StrCat("https://", host_, ":", port, "/#invite=")));
  EXPECT_THAT(*another, Not(HasSubstr("on this machine alone")));
  launcher_->Interrupt();
  EXPECT_EQ(launcher_->Wait(), 130) << launcher_->Printed();
}

TEST_F(Share, IsRefusedWithoutTls) {
  EXPECT_THAT(Refused({"--share"}),
              HasSubstr("--tls-certificate FILE --tls-key FILE, or a proxy with TLS in front "
                        "and --public-url https://..."));
  EXPECT_THAT(Refused({"--share", "--tls-certificate=/nowhere.pem", "--tls-key=/nowhere.pem"}),
              HasSubstr("--tls-certificate is /nowhere.pem, which cannot be read"));
  EXPECT_THAT(Refused({"--share", "--public-url=http://labels.example.org"}),
              HasSubstr("It must be https://"));
  EXPECT_THAT(Refused({"--http-listen=0.0.0.0:7480"}), HasSubstr("give --share, too"));
}

}  // namespace
}  // namespace backflip::testing
