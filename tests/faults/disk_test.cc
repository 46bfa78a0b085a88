// Full disks: the database's, a worker's, the launcher's. Each is a small file system of its own,
// which only root can make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backflip/v1/work.grpc.pb.h"
#include "cli/launcher/paths.h"
#include "cli/launcher/subprocess.h"
#include "common/base/hash.h"
#include "common/rpc/status.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Disk : public ::testing::Test {
 protected:
  void TearDown() override {
    stack_.reset();
    if (folder_.empty()) return;
    umount2(folder_.c_str(), MNT_DETACH);
    fs::remove(folder_);
  }
  // False where it cannot be made: the test is skipped.
  bool Make(int megabytes) {
    char folder[] = "/tmp/backflip-disk-XXXXXX";
    if (mkdtemp(folder) == nullptr) return false;
    folder_ = folder;
    if (mount("tmpfs", folder, "tmpfs", 0, absl::StrCat("size=", megabytes, "m").c_str()) != 0) {
      return false;
    }
    return chmod(folder, 0755) == 0;
  }
  // Nothing more can be written.
  void Fill() const {
    std::ofstream file(folder_ + "/filling", std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), block.size()).flush()) {
    }
  }
  void Empty() const { fs::remove(folder_ + "/filling"); }
  // Asks the broker once to store so much.
  absl::Status PutMegabyte(int seed) const {
    std::string bytes(1 << 20, 'a');
    std::minstd_rand draws(seed + 1);
    for (char& byte : bytes) byte = static_cast<char>(draws());
    v1::PutBundleRequest request;
    request.set_sha256(base::Sha256Hex(bytes));
    request.set_size(bytes.size());
    request.set_data(bytes);
    const rpc::Client& client = stack_->broker().client();
    const auto context = client.UnaryContext(absl::Seconds(30));
    v1::PutBundleResponse response;
    const auto writer = v1::BundleService::NewStub(client.channel())->Put(context.get(), &response);
    writer->Write(request);
    writer->WritesDone();
    return rpc::FromGrpc(writer->Finish());
  }
  void StartStack(StackOptions options) {
    auto stack = Stack::Start(std::move(options));
    ASSERT_TRUE(stack.ok()) << stack.status();
    stack_ = *std::move(stack);
    for (const Program program : {Program::kLearner, Program::kTrainer, Program::kWorker}) {
      ASSERT_TRUE(stack_->StartProgram(program).ok());
    }
    const absl::Status counting = stack_->CountAnswers();
    ASSERT_TRUE(counting.ok()) << counting;
  }

  std::string folder_;
  std::unique_ptr<Stack> stack_;
};

TEST_F(Disk, OfTheDatabaseThatIsFullIsWaitedForAndNoAnswerIsLost) {
  if (!Make(400)) GTEST_SKIP() << "making a small file system takes root";
  StartStack({.database_folder = folder_ + "/data"});
  const auto run = stack_->Create("hopper_backflip_guided", ShortRun(40, 20));
  ASSERT_TRUE(run.ok()) << run.status();
  const auto half =
      stack_->Await(run->id(), [](const v1::Run& now) { return now.iterations() >= 8; });
  ASSERT_TRUE(half.ok()) << half.status();
  Fill();
  // what tables have of free places takes writes for a while
  absl::Status refused;
  for (int i = 0; i < 100 && refused.ok(); ++i) refused = PutMegabyte(i);
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the database is out of room"));
  Empty();
  // a server that could not write its log has ended
  const absl::Status restarted = stack_->RestartDatabase();
  ASSERT_TRUE(restarted.ok()) << restarted;
  const auto end = stack_->Await(run->id(), Finished);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->labels(), 40);
  const absl::Status checked = stack_->CheckAnswers();
  EXPECT_TRUE(checked.ok()) << checked;
}

TEST_F(Disk, OfAWorkerThatIsFullCostsItOnlyItsCache) {
  if (!Make(1)) GTEST_SKIP() << "making a small file system takes root";
  Fill();
  setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  StartStack({});
  unsetenv("XDG_CACHE_HOME");
  const auto run = stack_->Create("hopper_backflip_guided", ShortRun(40, 20));
  ASSERT_TRUE(run.ok()) << run.status();
  const auto end = stack_->Await(run->id(), Finished);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_THAT(stack_->Log(Program::kWorker), HasSubstr("cannot keep a bundle"));
  const absl::Status checked = stack_->CheckAnswers();
  EXPECT_TRUE(checked.ok()) << checked;
}

TEST_F(Disk, OfTheLauncherThatIsFullIsSaid) {
  if (!Make(20)) GTEST_SKIP() << "making a small file system takes root";
  const auto output = cli::Run(
      {.argv = {cli::ProgramPath("backflip"), "train", "--labels", "10", "--data", folder_}});
  ASSERT_FALSE(output.ok());
  EXPECT_THAT(std::string(output.status().message()), HasSubstr("No space left on device"));
}

}  // namespace
}  // namespace backflip::testing
