// A certificate that expires while programs run: who is connected stays, who comes is refused, and
// a renewed one is taken without a restart.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/launcher/subprocess.h"
#include "common/rpc/server.h"
#include "common/rpc/transport.h"
#include "tests/support/test_broker.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;

constexpr absl::Duration kPatience = absl::Minutes(1);
// Long enough to connect.
constexpr absl::Duration kShort = absl::Seconds(8);

class Certificate : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/backflip-certificates-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    Run(absl::StrCat(BACKFLIP_CERTIFICATES, " ", folder_));
    Run("touch index.txt; echo 01 >serial; printf '%s\\n' '[ca]' default_ca=d '[d]' "
        "database=index.txt serial=serial new_certs_dir=. default_md=sha256 policy=p "
        "x509_extensions=e unique_subject=no '[p]' commonName=supplied '[e]' "
        "subjectAltName=IP:127.0.0.1 extendedKeyUsage=serverAuth,clientAuth >ca.cnf; "
        "openssl req -new -key broker.key -subj /CN=broker -out broker.csr");
  }
  void TearDown() override {
    EXPECT_TRUE(rpc::SetTransport({}).ok());
    std::filesystem::remove_all(folder_);
  }
  void Run(const std::string& command) {
    const auto output =
        cli::Run({.argv = {"sh", "-c", absl::StrCat("cd ", folder_, " && { ", command, "; }")}});
    ASSERT_TRUE(output.ok()) << output.status();
  }
  // A new one in the place of the old.
  void Issue(absl::Duration valid_for) {
    Run(absl::StrCat(
        "openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -notext "
        "-in broker.csr -out broker.new -enddate ",
        absl::FormatTime("%Y%m%d%H%M%SZ", absl::Now() + valid_for, absl::UTCTimeZone()),
        " && mv broker.new broker.pem"));
  }
  // Until somebody who comes is let in, or is not.
  static void AwaitReached(const std::string& address, bool reached) {
    const absl::Time give_up = absl::Now() + kPatience;
    while (rpc::WaitHealthy(address, absl::Seconds(1)).ok() != reached) {
      ASSERT_LT(absl::Now(), give_up) << (reached ? "refused for ever" : "let in for ever");
    }
  }
  std::string folder_;
};

TEST_F(Certificate, ThatExpiresKeepsWhoIsConnectedAndIsRenewedWithoutARestart) {
  Issue(kShort);
  ASSERT_TRUE(rpc::SetTransport({.certificate = folder_ + "/broker.pem",
                                 .key = folder_ + "/broker.key",
                                 .ca = folder_ + "/ca.pem"})
                  .ok());
  TestBroker broker;
  const int64_t run_id = broker.CreateRun().id();
  Peer& connected = broker.As(Role::kOperator);
  v1::GetRunRequest get;
  get.set_run_id(run_id);
  const auto works = [&] {
    const auto run = connected.Call(connected.runs, &v1::RunService::Stub::Get, get);
    EXPECT_TRUE(run.ok()) << run.status();
  };
  AwaitReached(broker.address(), true);
  AwaitReached(broker.address(), false);
  works();
  Issue(absl::Hours(1));
  AwaitReached(broker.address(), true);
  works();
}

}  // namespace
}  // namespace backflip::testing
