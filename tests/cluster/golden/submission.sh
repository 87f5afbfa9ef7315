#!/bin/bash

# Parameters
#SBATCH --account=proj
#SBATCH --array=0-2,7%2
#SBATCH --chdir='/the folder'
#SBATCH --constraint=a100
#SBATCH --cpus-per-task=12
#SBATCH --dependency=aftercorr:12,afterok:7_0
#SBATCH --error='/the folder/%A_%a_0_log.err'
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
#SBATCH --job-name=test
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=1536M
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --open-mode=append
#SBATCH --output='/the folder/%A_%a_0_log.out'
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --reservation=mine
#SBATCH --signal=USR2@90
#SBATCH --time=90
#SBATCH --wckey=''

# setup
module load cuda
export NCCL_DEBUG=INFO
export PYTHONPATH='/a snapshot'
export PYTHONSAFEPATH=1
export OMP_NUM_THREADS=12
export TOKENIZERS_PARALLELISM=false
export HF_HUB_DISABLE_PROGRESS_BARS=1
export DS_ACCELERATOR=cuda
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
test -e '/the folder'/"$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"_submitted.pkl || ln -s element.pkl '/the folder'/"$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"_submitted.pkl

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/the folder/%A_%a_%t_log.out' --error '/the folder/%A_%a_%t_log.err' --kill-on-bad-exit=1 PYTHON -u -m submitit.core._submit '/the folder'
