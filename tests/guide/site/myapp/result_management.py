import time  # the documented snippet uses it without importing it

from django.tasks import get_task_backend
from django.core.management.base import BaseCommand
from datetime import datetime, timedelta
import json

class TaskResultManager:
    """Utility class for managing task results."""
    
    def __init__(self, backend_name='default'):
        self.backend = get_task_backend(backend_name)
    
    def get_task_info(self, task_id):
        """Get comprehensive task information."""
        try:
            task_result = self.backend.get_result(task_id)
            
            info = {
                'task_id': task_id,
                'status': task_result.status,
                'ready': task_result.ready(),
                'successful': task_result.successful() if task_result.ready() else None,
                'failed': task_result.failed() if task_result.ready() else None,
                'date_created': getattr(task_result, 'date_created', None),
                'date_done': getattr(task_result, 'date_done', None),
            }
            
            if task_result.ready():
                if task_result.successful():
                    info['result'] = task_result.result
                else:
                    info['error'] = str(task_result.result)
                    info['traceback'] = getattr(task_result, 'traceback', None)
            
            return info
        
        except Exception as e:
            return {
                'task_id': task_id,
                'error': f'Failed to get task info: {str(e)}'
            }
    
    def wait_for_multiple_tasks(self, task_ids, timeout=60):
        """Wait for multiple tasks to complete."""
        results = {}
        
        for task_id in task_ids:
            try:
                task_result = self.backend.get_result(task_id)
                result = task_result.get(timeout=timeout)
                results[task_id] = {
                    'status': 'completed',
                    'result': result
                }
            except TimeoutError:
                results[task_id] = {
                    'status': 'timeout',
                    'error': f'Task did not complete within {timeout} seconds'
                }
            except Exception as e:
                results[task_id] = {
                    'status': 'error',
                    'error': str(e)
                }
        
        return results
    
    def cleanup_old_results(self, days_old=7):
        """Clean up old task results."""
        cutoff_date = datetime.now() - timedelta(days=days_old)
        
        # Implementation depends on backend
        if hasattr(self.backend, 'cleanup_results'):
            return self.backend.cleanup_results(cutoff_date)
        else:
            # Manual cleanup for database backend
            from django.tasks.models import TaskResult
            
            old_results = TaskResult.objects.filter(
                date_created__lt=cutoff_date
            )
            
            count = old_results.count()
            old_results.delete()
            
            return count
    
    def get_task_statistics(self):
        """Get task execution statistics."""
        # Implementation depends on backend capabilities
        stats = {
            'total_tasks': 0,
            'completed_tasks': 0,
            'failed_tasks': 0,
            'pending_tasks': 0,
            'average_execution_time': 0
        }
        
        # This would need to be implemented based on your backend
        return stats

# Management command for task result cleanup
class Command(BaseCommand):
    """Management command to clean up old task results."""
    
    help = 'Clean up old task results'
    
    def add_arguments(self, parser):
        parser.add_argument(
            '--days',
            type=int,
            default=7,
            help='Number of days to keep results (default: 7)'
        )
        
        parser.add_argument(
            '--backend',
            type=str,
            default='default',
            help='Task backend to clean up (default: default)'
        )
    
    def handle(self, *args, **options):
        days = options['days']
        backend_name = options['backend']
        
        manager = TaskResultManager(backend_name)
        
        try:
            cleaned_count = manager.cleanup_old_results(days)
            
            self.stdout.write(
                self.style.SUCCESS(
                    f'Successfully cleaned up {cleaned_count} old task results'
                )
            )
        
        except Exception as e:
            self.stdout.write(
                self.style.ERROR(f'Failed to clean up task results: {e}')
            )

# Task monitoring utilities
class TaskMonitor:
    """Monitor task execution and performance."""
    
    def __init__(self):
        self.backend = get_task_backend()
    
    def monitor_task_progress(self, task_id, callback=None):
        """Monitor task progress with optional callback."""
        task_result = self.backend.get_result(task_id)
        
        while not task_result.ready():
            # Get current status
            status_info = {
                'task_id': task_id,
                'status': task_result.status,
                'timestamp': datetime.now().isoformat()
            }
            
            # Add progress info if available
            if hasattr(task_result, 'info') and task_result.info:
                status_info['progress'] = task_result.info
            
            # Call callback if provided
            if callback:
                callback(status_info)
            
            # Wait before checking again
            time.sleep(1)
        
        # Task completed
        final_status = {
            'task_id': task_id,
            'status': task_result.status,
            'completed': True,
            'successful': task_result.successful(),
            'timestamp': datetime.now().isoformat()
        }
        
        if task_result.successful():
            final_status['result'] = task_result.result
        else:
            final_status['error'] = str(task_result.result)
        
        if callback:
            callback(final_status)
        
        return final_status
    
    def get_worker_statistics(self):
        """Get worker performance statistics."""
        # This would depend on your backend implementation
        return {
            'active_workers': 0,
            'total_tasks_processed': 0,
            'average_task_duration': 0,
            'worker_load': {}
        }
