// A run that is disturbed in its middle, and must end as one that was left alone: in lockstep a
// fault leaves no trace in what is learned, and every acknowledged answer is a label, once.
#ifndef BACKFLIP_TESTS_FAULTS_DISTURBED_RUN_H_
#define BACKFLIP_TESTS_FAULTS_DISTURBED_RUN_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "backflip/v1/run.pb.h"
#include "tests/support/stack.h"

namespace backflip::testing {

class DisturbedRun : public ::testing::Test {
 protected:
  static constexpr int kLabels = 40;
  static constexpr int kBatches = 20;
  // After the checkpoint of iteration 10, before the end.
  static constexpr int kMiddle = 12;

  // A stack that all tests share, with everything that serves, and a run that is left alone.
  static void StartStack(StackOptions options);
  static void TearDownTestSuite();

  // A run in its middle.
  void SetUp() override;
  void TearDown() override {
    if (stack_ != nullptr) stack_->PrintLogsOfAFailure();
  }

  static v1::RunSpec Spec();
  // A number that a query gives.
  static int64_t Number(const std::string& sql);

  void AwaitIterations(int64_t iterations);
  void Restart(Program program);
  // Kills it, and starts it again.
  void KillAndRestart(Program program);
  // A fault took the teacher, or answers of before: nobody knows how many were acknowledged.
  void ForgetAnswers() { answers_are_counted_ = false; }
  // To the end, which is then looked at. No teacher runs afterwards.
  void Finish();

  static Stack* stack_;
  static v1::Run undisturbed_;
  int64_t run_id_ = 0;

 private:
  // The run's labels as they were given, one a row.
  std::string Labels() const;
  static std::string Snapshots(int64_t run_id);

  std::string labels_;
  bool answers_are_counted_ = true;
};

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_FAULTS_DISTURBED_RUN_H_
