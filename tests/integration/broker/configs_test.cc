// With which flags the programs of a run were started.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backflip/v1/config.grpc.pb.h"
#include "tests/integration/broker/fixtures.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::ElementsAre;

class Configs : public ::testing::Test {
 protected:
  Configs() : run_id_(broker_.CreateRun("labels: 1000").id()) {}

  absl::Status Report(Role role, int64_t run_id, const std::string& config,
                      const std::string& name = "") {
    const Peer& peer = broker_.As(role, name);
    v1::ReportConfigRequest request;
    request.set_run_id(run_id);
    request.set_config(config);
    return peer
        .Call(v1::ConfigService::NewStub(peer.client.channel()),
              &v1::ConfigService::Stub::ReportConfig, request)
        .status();
  }
  // "role: config" of each.
  std::vector<std::string> List() {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::ListConfigsRequest request;
    request.set_run_id(run_id_);
    const auto response = peer.Call(v1::ConfigService::NewStub(peer.client.channel()),
                                    &v1::ConfigService::Stub::ListConfigs, request);
    EXPECT_TRUE(response.ok()) << response.status();
    std::vector<std::string> configs;
    if (!response.ok()) return configs;
    for (const v1::ProgramConfig& config : response->configs())
      configs.push_back(absl::StrCat(config.role(), ": ", config.config()));
    return configs;
  }

  TestBroker broker_;
  int64_t run_id_;
};

TEST_F(Configs, AreListedOnceForEachProgramAndValueWithTheBrokers) {
  for (const std::string config : {"threads=2", "threads=2", "name=\\d"}) {
    const absl::Status reported = Report(Role::kTrainer, run_id_, config);
    EXPECT_TRUE(reported.ok()) << reported;
  }
  // this test's broker was started without flags
  EXPECT_THAT(List(), ElementsAre("broker: ", "trainer: threads=2", "trainer: name=\\d"));
}

TEST_F(Configs, AreBoundedAndOfRunsThatThereAre) {
  EXPECT_TRUE(absl::IsInvalidArgument(Report(Role::kTrainer, run_id_, std::string(16'001, 'x'))));
  EXPECT_TRUE(absl::IsNotFound(Report(Role::kTrainer, run_id_ + 1, "threads=2")));
  // a worker that the run was not assigned to
  EXPECT_TRUE(absl::IsPermissionDenied(Report(Role::kWorker, run_id_, "threads=2", "other")));
  EXPECT_THAT(List(), ElementsAre());
  Query(broker_.database(),
        absl::StrCat("INSERT INTO run_configs (run_id, config) SELECT ", run_id_,
                     ", i::text FROM generate_series(1, 1000) i RETURNING run_id"));
  EXPECT_TRUE(Report(Role::kTrainer, run_id_, "one more").ok());
  EXPECT_EQ(List().size(), 1000);
}

}  // namespace
}  // namespace backflip::testing
